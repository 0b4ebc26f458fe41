#!/usr/bin/env bash
# `make gpu-sanitize`: the GPU's operations and schemes under compute-sanitizer, memcheck and racecheck, on a machine
# with a GPU and CUDA 13. Ends within 8 minutes, the build aside; exit status 0 means clean, logs are in out/gpu-sanitize.
# Usage: scripts/gpu_sanitize.sh [--built DIR]
#   --built DIR        uses kernels_test and quant_test in DIR, builds nothing
#   COMPUTE_SANITIZER  the tool [compute-sanitizer]
#   SHARDS             processes for each program under each tool [4]
set -euo pipefail
cd "$(dirname "$0")/.."
limit_s=480
sanitizer=${COMPUTE_SANITIZER:-compute-sanitizer}
export GTEST_TOTAL_SHARDS=${SHARDS:-4}
export FLUXQ_REQUIRE_GPU=1 FLUXQ_SCRATCH_APART=1
logs=out/gpu-sanitize
rm -rf "$logs"
mkdir -p "$logs"

if [[ ${1:-} == --built ]]; then
  built=$2
else
  cmake --preset cuda >/dev/null
  cmake --build --preset cuda --target kernels_test quant_test
  built=build/cuda/src
fi

# What launches no kernel, or the same ones as another property, only costs time here.
declare -A filter=(
  [kernels_test]='*cuda*-*RefusesOperands*'
  [quant_test]='*Gpu*:*Cuda*-*_depend_on_threads:*_declares_its_parts:*_refuses_*:*RefusesOperands*'
)
declare -A options=([memcheck]='--padding 512' [racecheck]='')
# Whether every hazard in a log of racecheck's lies between kernels of cuBLASLt or cuDNN, which are not ours to mend.
theirs=' at (nvjet_|sm(80|90)_xmma|[^+]*cudnn)'
others_only() {
  grep -q 'Race reported' "$1" && ! grep -hE 'Race reported|=========     and .* access' "$1" | grep -qvE "$theirs"
}

# PROGRAM TOOL SHARD: clean only if the tests ran, passed, and the tool found nothing.
check() {
  local log=$logs/$2-$1-$3.txt status=0
  # shellcheck disable=SC2086  # options are words
  GTEST_SHARD_INDEX=$3 timeout $limit_s "$sanitizer" --tool "$2" --error-exitcode 99 ${options[$2]} \
    "$built/$1" --gtest_filter="${filter[$1]}" --gtest_brief=1 >"$log" 2>&1 || status=$?
  [[ $status == 99 && $2 == racecheck ]] && others_only "$log" && status=0
  ((status != 0)) || grep -qE '^\[  PASSED  \] [1-9]' "$log" || status=no-tests
  grep -q 'SKIPPED' "$log" && status=skipped
  printf '%-4s %5ss  %-10s %-12s shard %s, status %s: %s\n' "$([[ $status == 0 ]] && echo ok || echo FAIL)" "$SECONDS" \
    "$2" "$1" "$3" "$status" "$(grep -h '=====.*SUMMARY' "$log" | tail -n 1)"
  [[ $status == 0 ]]
}

SECONDS=0
jobs=()
for tool in memcheck racecheck; do
  for program in kernels_test quant_test; do
    for ((shard = 0; shard < GTEST_TOTAL_SHARDS; ++shard)); do
      check $program $tool $shard &
      jobs+=($!)
    done
  done
done
failures=0
for job in "${jobs[@]}"; do wait "$job" || failures=$((failures + 1)); done
# Which kernels, and what of them: once each.
grep -hE '^=+ (Invalid|Error|Warning|Program hit|     (at|by)|.*[Rr]ace reported)' "$logs"/*.txt | sort | uniq -c | sort -rn | head -n 20 || true
exit $((failures > 0))

#!/usr/bin/env bash
# `make gpu-test`: on a machine with a GPU, CUDA 13 and a Python with numpy and Pillow, builds the CUDA preset and holds
# it to everything that only a GPU can show. Ends within 10 minutes, the build aside; logs are in out/gpu-test.
# Usage: scripts/gpu_test.sh [--built DIR] [OPTION of tools/check_gpu.py]...
#   --built DIR  uses DIR/fluxq, DIR/{kernels,quant,pipeline}_test and DIR/trap.so (tests/gpu_faults), builds nothing
#   PYTHON       the Python to use [python3]; where it has diffusers, tools/check_synthetic.py runs too
set -euo pipefail
cd "$(dirname "$0")/.."
limit_s=600
python=${PYTHON:-python3}
logs=out/gpu-test
rm -rf "$logs"
mkdir -p "$logs"
export FLUXQ_REQUIRE_GPU=1

if [[ ${1:-} == --built ]]; then
  built=$2
  fluxq=$built/fluxq trap=$built/trap.so
  shift 2
else
  cmake --preset cuda >/dev/null
  cmake --build --preset cuda --target fluxq kernels_test quant_test pipeline_test trap
  built=build/cuda/src
  fluxq=build/cuda/fluxq trap=build/cuda/tests/gpu_faults/trap.so
fi

failures=0
row() { printf '%-4s %5s  %-28s %s\n' "$@"; }
# NAME COMMAND...: within the time that is left; the log's last line stands in the table.
step() {
  local name=$1 begun=$SECONDS status=0
  shift
  timeout $((limit_s > SECONDS - started ? limit_s - SECONDS + started : 1)) "$@" >"$logs/$name.txt" 2>&1 || status=$?
  local verdict=ok
  ((status == 0)) || { verdict=FAIL failures=$((failures + 1)); }
  row "$verdict" "$((SECONDS - begun))s" "$name" "status $status: $(tail -n 1 "$logs/$name.txt" | cut -c 1-100)"
  ((status == 0)) || grep -hE '^(\[  FAILED  \]|FAIL|fluxq:|.*[Ee]rror)' "$logs/$name.txt" | head -n 20 | sed 's/^/       /' || true
}
# A filter that fits no test, and a test that was skipped, must not pass.
gpu_tests() {
  "$@" | tee "$logs/gtest.txt"
  grep -qE '^\[  PASSED  \] [1-9]' "$logs/gtest.txt" && ! grep -q 'SKIPPED' "$logs/gtest.txt"
}
export -f gpu_tests
export logs

started=$SECONDS
row "" "time" "step" "$(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader 2>&1 | head -n 1)"
step kernels_test bash -o pipefail -ec 'gpu_tests "$@"' _ "$built/kernels_test" --gtest_filter='*cuda*'
step quant_test bash -o pipefail -ec 'gpu_tests "$@"' _ "$built/quant_test" --gtest_filter='*Gpu*:*Cuda*:*cuda*'
step pipeline_test bash -o pipefail -ec 'gpu_tests "$@"' _ "$built/pipeline_test" --gtest_filter='*Gpu*'
step check_gpu "$python" tools/check_gpu.py "$fluxq" --trap "$trap" --synthetic "$@"
if "$python" -c 'import diffusers' 2>/dev/null; then
  step check_synthetic "$python" tools/check_synthetic.py "$fluxq"
else
  row "-" "" "check_synthetic" "not run: $python has no diffusers"
fi
cat "$logs"/check_*.txt
exit $((failures > 0))

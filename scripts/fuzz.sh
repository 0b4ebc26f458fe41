#!/usr/bin/env bash
# Feeds all readers of bytes from outside with mutated inputs: scripts/fuzz.sh [SECONDS] [TARGET...]
# SECONDS of wall time in all (600). With clang the targets are libFuzzer's, guided by coverage; without it they run under
# g++'s sanitizers, unguided. New inputs are kept in build/fuzz-corpus, findings in build/fuzz-findings.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-600}
shift || true
jobs=$(nproc)

has_libfuzzer() {
  echo 'extern "C" int LLVMFuzzerTestOneInput(const char*, unsigned long) { return 0; }' |
    clang++-14 -x c++ -fsanitize=fuzzer,address,undefined -o /dev/null - 2>/dev/null
}

if has_libfuzzer; then preset=fuzz; else preset=asan; fi
targets=("$@")
if [[ ${#targets[@]} -eq 0 ]]; then
  for file in fuzz/*_fuzz.cc; do
    name=$(basename "$file" _fuzz.cc)
    [[ $preset == fuzz && $name == recipe ]] || targets+=("$name")
  done
fi
cmake --preset "$preset" >/dev/null
cmake --build --preset "$preset" --target "${targets[@]/#/fuzz_}"

mkdir -p build/fuzz-findings
# No reader may ask for much at once, whatever an input says; nor take long, nor leak.
export ASAN_OPTIONS=max_allocation_size_mb=256:allocator_may_return_null=0:abort_on_error=1:detect_leaks=1
export UBSAN_OPTIONS=print_stacktrace=1
share=$((seconds * jobs / ${#targets[@]}))
run_one() {
  local name=$1 corpus=build/fuzz-corpus/$1 log=build/fuzz-findings/$1.log
  mkdir -p "$corpus"
  local status=0
  "build/$preset/fuzz/fuzz_$name" -max_total_time=$((share > 0 ? share : 1)) -timeout=20 -rss_limit_mb=1024 -max_len=32768 \
    -print_final_stats=1 -seed="${RANDOM}" -artifact_prefix="build/fuzz-findings/$name-" \
    "$corpus" "fuzz/corpus/$name" >"$log" 2>&1 || status=$?
  printf '%-12s %9s executions%s\n' "$name" "$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")" \
    "$([[ $status -eq 0 ]] || echo "; FINDING, see $log")"
  return "$status"
}
export -f run_one
export preset share
echo "fuzzing ${#targets[@]} readers with $preset, ${share} s each, $jobs at a time"
printf '%s\n' "${targets[@]}" | xargs -P "$jobs" -I{} bash -c 'run_one {}'

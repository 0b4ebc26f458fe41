#!/usr/bin/env bash
# `make coverage`: builds with gcc's counters, runs the tests (not the fuzzers' and the fault loops, which judge by
# outcome) and prints for each room which part of its lines they ran. Each file's lines: build/coverage/files.csv, and
# marked in the sources: build/coverage/report/index.html.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/install_dependencies.sh coverage
cmake --preset coverage >/dev/null
cmake --build --preset coverage
find build/coverage -name '*.gcda' -delete
ctest --preset coverage --no-tests=error
mkdir -p build/coverage/report
gcovr --root . --filter src/ --exclude '.*(_test\.cc|/conformance/.*|/(test|op_test)[^/]*\.h)$' --object-directory build/coverage build/coverage/src build/coverage/tests \
  -j "$(nproc)" --csv build/coverage/files.csv --html-details build/coverage/report/index.html
awk -F, 'NR > 1 { split($1, part, "/"); lines[part[2]] += $2; run[part[2]] += $3; all += $2; all_run += $3 }
  END { for (room in lines) printf "%-12s %6d of %6d lines %5.1f %%\n", room, run[room], lines[room], 100 * run[room] / lines[room]
        printf "%-12s %6d of %6d lines %5.1f %%\n", "~ in all", all_run, all, 100 * all_run / all }' build/coverage/files.csv |
  LC_ALL=C sort | tr -d '~'

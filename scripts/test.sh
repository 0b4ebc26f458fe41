#!/usr/bin/env bash
# `make test`: installs what is missing, builds everything with its tests, runs them.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/install_dependencies.sh test
cmake --preset release -DFLUXQ_TESTS=ON >/dev/null # `make demo` leaves them out
cmake --build --preset release
ctest --preset release --no-tests=error

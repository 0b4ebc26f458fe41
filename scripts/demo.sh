#!/usr/bin/env bash
# `make demo`: installs what is missing, builds a release without CUDA, measures all schemes on the bundled model
# (about two minutes on two cores), and ends with the path of the report.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/install_dependencies.sh build
cmake --preset release -DFLUXQ_TESTS=OFF >/dev/null
cmake --build --preset release --target fluxq
rm -rf out/demo # of an earlier program, whose figures must not mix with these
build/release/fluxq bench -o out/demo

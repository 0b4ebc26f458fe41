#!/usr/bin/env bash
# `make demo`: installs what is missing, builds a release without CUDA, and draws a sheet of pictures with the bundled
# model.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/install_dependencies.sh build
cmake --preset release -DFLUXQ_TESTS=OFF >/dev/null
cmake --build --preset release --target fluxq
build/release/fluxq generate --prompts prompts/demo.txt --sheet -o out/demo

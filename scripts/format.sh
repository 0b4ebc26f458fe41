#!/usr/bin/env bash
# Formats all C++ and CUDA sources (fix), or says which are not formatted (check).
set -euo pipefail
cd "$(dirname "$0")/.."
mapfile -t files < <(git ls-files '*.h' '*.cc' '*.cu' '*.cuh')
case ${1:-check} in
  fix) clang-format-14 -i "${files[@]}" ;;
  check) clang-format-14 --dry-run -Werror "${files[@]}" ;;
  *) echo "usage: scripts/format.sh fix|check" >&2; exit 2 ;;
esac

#!/usr/bin/env bash
# Installs the Debian packages that building and testing fluxq needs; those that are there are left alone.
# Usage: scripts/install_dependencies.sh [build|test|coverage|fuzz]   (test adds the test and check tools, fuzz clang's fuzzer)
set -euo pipefail

packages=(g++ cmake ninja-build ccache pkg-config
  libdnnl-dev libutf8proc-dev nlohmann-json3-dev libcli11-dev libfmt-dev
  libpng-dev libssl-dev libcurl4-openssl-dev libsqlite3-dev)
if [[ ${1:-build} == test || ${1:-build} == coverage ]]; then
  packages+=(libgtest-dev libgmock-dev python3 clang-format-14)
fi
if [[ ${1:-build} == coverage ]]; then
  packages+=(gcovr)
fi
if [[ ${1:-build} == fuzz ]]; then
  packages+=(libgtest-dev libgmock-dev clang-14 libclang-rt-14-dev)
fi

missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
[[ ${#missing[@]} -eq 0 ]] && exit 0

as_root=()
if [[ $EUID -ne 0 ]]; then
  command -v sudo >/dev/null || { echo "missing packages: ${missing[*]}; install them as root" >&2; exit 1; }
  as_root=(sudo)
fi
echo "installing: ${missing[*]}"
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null

#!/usr/bin/env bash
# Fetches the headers of CUTLASS and of the cuDNN frontend from their PyPI wheels, versions and hashes pinned.
# Usage: scripts/fetch_cuda_headers.sh FOLDER   (makes FOLDER/cutlass and FOLDER/cudnn-frontend; what is there is left alone)
set -euo pipefail
folder=$1
[[ -f $folder/complete ]] && exit 0
mkdir -p "$folder"
wheels=$(mktemp -d)
trap 'rm -rf "$wheels"' EXIT
cat > "$wheels/pinned.txt" <<'EOF'
nvidia-cutlass==4.2.0.0 --hash=sha256:f9599ada45c7bcb6bf53f7d3f0a7d154183e53451c01bfa59eecd37dd4a693f6
nvidia-cudnn-frontend==1.32.0 --hash=sha256:c6006556017a4d1c914c52a556c71b1267f2d6a0500f742e7b4edef539878df0
EOF
# The frontend's wheel holds the same headers for every Python: one is named, so that one hash is enough.
python3 -m pip download -q --disable-pip-version-check --no-deps --require-hashes --only-binary=:all: \
  --python-version 3.11 --implementation cp --platform manylinux_2_28_x86_64 -d "$wheels" -r "$wheels/pinned.txt"
for wheel in "$wheels"/*.whl; do python3 -m zipfile -e "$wheel" "$wheels/unpacked"; done
rm -rf "$folder/cutlass" "$folder/cudnn-frontend"
mkdir -p "$folder/cutlass/tools/util" "$folder/cudnn-frontend"
mv "$wheels/unpacked/cutlass_library/source/include" "$folder/cutlass/include"
mv "$wheels/unpacked/cutlass_library/source/tools/util/include" "$folder/cutlass/tools/util/include"
mv "$wheels"/unpacked/include "$folder/cudnn-frontend/include"
touch "$folder/complete"

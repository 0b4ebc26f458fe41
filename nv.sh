#!/bin/bash
# local helper, not committed
f=$1; shift
/usr/bin/time -f "%es %MKB" nvcc -std=c++20 -O3 -gencode=arch=compute_90a,code=sm_90a --expt-relaxed-constexpr --expt-extended-lambda -Isrc -Iinclude -DFLUXQ_CUDA=1 -DNDEBUG -DFMT_USE_CONSTEXPR=1 -DFMT_CONSTEVAL=  -Werror=all-warnings -Xcompiler -Wall,-Wextra,-Werror,-ffp-contract=off "$@" -c $f -o /tmp/rowsw/$(basename $f).o

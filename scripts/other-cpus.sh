#!/usr/bin/env bash
# The tests of kernels, training and encoding, as a CPU without AVX-512, bfloat16 products and AMX
# computes: oneDNN, torch and numba are told so. What must hold on every CPU is asserted there too.
set -euo pipefail
cd "$(dirname "$0")/.."
cache=$(mktemp -d)
trap 'rm -rf "$cache"' EXIT
export ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2
export NUMBA_CPU_NAME=haswell NUMBA_CACHE_DIR=$cache
.venv/bin/pytest tests/unit/test_saes_{kernels,train,gradients,artifacts,meta,evaluate}.py

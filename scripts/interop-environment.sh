#!/usr/bin/env bash
# Make (or bring up to date) .venv-interop: SAELens, dictionary_learning and sparsify themselves, for
# the tests that hold our formats against theirs. PYTHON=python3.12 chooses the interpreter.
set -euo pipefail
cd "$(dirname "$0")/.."

pins=tests/interop/requirements.txt
stamp=.venv-interop/requirements.installed
cmp -s "$pins" "$stamp" && exit 0
[ -x .venv-interop/bin/python ] || "${PYTHON:-python3}" -m venv .venv-interop
echo "installing $pins (this takes a few minutes the first time)"
# torch first: an index that also serves CUDA builds must not choose another one
.venv-interop/bin/python -m pip install --quiet --quiet "$(grep '^torch==' "$pins")"
.venv-interop/bin/python -m pip install --quiet --quiet --requirement "$pins"
# nnsight brings it in; built against another torch it breaks the import of transformers
.venv-interop/bin/python -m pip uninstall --quiet --quiet --yes torchvision
cp "$pins" "$stamp"

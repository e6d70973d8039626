#!/usr/bin/env bash
# What `make test` runs: lint, types, documentation, unit tests, tests of the planned work.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/environment.sh dev
bin=.venv/bin

step() { printf '\n== %s\n' "$1"; shift; "$@"; }
step "ruff" $bin/ruff check .
step "ruff format" $bin/ruff format --check --quiet .
step "snakefmt" $bin/snakefmt --check --compact-diff -F Snakefile workflow
step "snakemake --lint" scripts/lint-workflow.sh
step "mypy" $bin/mypy
step "documentation" $bin/mkdocs build --strict --quiet
step "unit tests and planned work" $bin/pytest -n 2 tests/unit tests/dag -m "not slow and not quick"

#!/usr/bin/env bash
# `snakemake --lint` without the two hints that do not apply here:
#  - "Specify a conda environment": every job runs in the one locked environment that also runs
#    Snakemake; an environment for each rule would only be another place to drift.
#  - "No log directive defined": `listing`, `copy`, `picture` and `reclaim` are local one-line copies.
set -euo pipefail
cd "$(dirname "$0")/.."
hints=$({ .venv/bin/snakemake --lint 2>&1 || true; } | grep -E '^(Lints for|    \*)')
unexpected=$(awk '
    /^Lints for/ { where = $0; local = ($4 ~ /^(listing|copy|picture|reclaim)$/) }
    /^    \*/ {
        if ($0 ~ /Specify a conda environment/) next
        if ($0 ~ /No log directive/ && local) next
        print where $0
    }' <<<"$hints")
[ -z "$unexpected" ] || { echo "$unexpected"; exit 1; }

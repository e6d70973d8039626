#!/usr/bin/env bash
# Every tier at full counts: what `.ci/run` runs in part, and what it leaves to this. Hours.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/tiers.sh
scripts/environment.sh dev
bin=.venv/bin

tier "make test" scripts/test.sh
tier "slow unit tests" $bin/pytest -n 2 tests/unit tests/dag -m slow
INTERPSWEEP_EDITS=120 tier "any edits" $bin/pytest tests/dag/test_any_edits.py
tier "default sweep" $bin/pytest tests/run/test_default_sweep.py
tier "quick sweeps" $bin/pytest -n 2 --dist loadfile tests/run tests/dag/test_own_rules.py -m quick
tier "worlds" $bin/pytest -n 2 --dist loadfile tests/science
tier "other CPUs" scripts/other-cpus.sh
INTERPSWEEP_KILLS=20 INTERPSWEEP_POINTS=0 INTERPSWEEP_ITEMS=1000 \
    tier "faults" $bin/pytest -s tests/faults
scripts/interop-environment.sh
tier "interop" $bin/pytest tests/interop
tier "slurm" $bin/pytest tests/cluster -rs

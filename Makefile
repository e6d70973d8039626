# Two commands: `make sweep` and `make test`. The rest is for maintainers.
.PHONY: help sweep test test-all lint types unit dag docs run-test test-science test-interop test-faults test-cluster bench lock schema clean

BIN := .venv/bin

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

sweep:  ## make the environment, then run the embedded default sweep
	@scripts/environment.sh
	@$(BIN)/interpsweep run

test:  ## make the environment, then lint, types, unit and planned-work tests
	@scripts/test.sh

test-all:  ## every tier at full counts; hours
	@scripts/test-all.sh

lint:  ## ruff and snakefmt
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/snakefmt --check --compact-diff -F Snakefile workflow

types:  ## mypy
	$(BIN)/mypy

unit:  ## tests of functions and stages, in seconds
	$(BIN)/pytest tests/unit

dag:  ## the planned work after each kind of edit
	$(BIN)/pytest tests/dag

docs:  ## build the documentation into site/
	$(BIN)/mkdocs build --strict

run-test:  ## the default sweep and quick sweeps, end to end
	$(BIN)/pytest tests/run

test-science:  ## worlds with known answers: full counts
	$(BIN)/pytest tests/science

test-interop:  ## SAELens, dictionary_learning and sparsify read ours and we read theirs
	@scripts/interop-environment.sh
	$(BIN)/pytest tests/interop

test-faults:  ## kills, failing calls at every place, full disks, damaged files: full counts
	INTERPSWEEP_KILLS=20 INTERPSWEEP_POINTS=0 INTERPSWEEP_ITEMS=1000 $(BIN)/pytest -s tests/faults

test-cluster:  ## SLURM on this machine (Debian, root): time limits, requeues, dead nodes, dead drivers
	$(BIN)/pytest tests/cluster -rs

bench:  ## timings, as ratios in one run
	for name in capture operations stream mixing matching census plan; do $(BIN)/python benchmarks/$$name.py; done

schema:  ## write the generated configuration files and documentation
	$(BIN)/interpsweep schema
	$(BIN)/python scripts/what_reruns.py
	$(BIN)/python scripts/stage_pages.py

lock:  ## write requirements.lock and requirements-dev.lock
	scripts/lock.sh

clean:  ## remove the results and the store (not the environment)
	rm -rf store results logs .snakemake

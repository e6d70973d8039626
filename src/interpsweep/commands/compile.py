"""Compiling all loops at once, so that the first jobs of a first sweep need not.

Numba compiles a loop when it is first called and keeps the machine code beside the module. Every
process that compiles anything first spends seconds on numba's own tables, and jobs that start
together compile the same loops side by side. So a miniature sweep runs here in one process, through
every stage that has loops.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from interpsweep.config.load import load_sweep
from interpsweep.driver import write_specs
from interpsweep.jobs import run_job
from interpsweep.plan import build_plan
from interpsweep.store import Store

SWEEP = """\
sweep: compile
models:
  - name: calendar
    source: trained
    architecture: {n_layers: 1, d_model: 32, n_heads: 2, d_mlp: 64, n_ctx: 32}
    training: {steps: 60}
    sites: [blocks.0.hook_resid_post]
corpus: {source: generated, n_tokens: 40_000, context_length: 32}
capture: {chunk_rows: 8192}
train:
  architectures: [topk, batchtopk, relu]
  widths: [32, 64]
  sparsities: [4]
  seeds: [0]
  tokens: 60_000
evaluate: {contexts: 16}
geometry: {most_draws: 99, null_dictionaries: 1, cloud_clusters: 1, panels: 1}
landscape: {draws: 19, dictionaries: 3}
meta: {steps: 20}
concepts: {draws: 99}
children: {draws: 99, null_dictionaries: 19}
complexes: {draws: 99}
run: {device: cpu}
"""
DRAWN = ("figures", "report", "bundle")  # without loops


def compile_loops() -> None:
    """Run the miniature sweep in a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "sweep.yaml"
        config.write_text(SWEEP)
        plan, store = build_plan(load_sweep([config]), {}), Store(Path(folder) / "store")
        write_specs(plan, store)
        jobs = [job for job in plan.jobs if job.stage not in DRAWN]
        for number, job in enumerate(jobs, 1):
            print(f"compiling loops: {number} of {len(jobs)}, {job.stage}", file=sys.stderr)
            run_job(store, store.spec_path(job.digest))

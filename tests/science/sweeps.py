"""Runs the sweeps of worlds in this process: the same plan, jobs and stages as the workflow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from interpsweep.columns import FAMILY
from interpsweep.config.load import load_sweep
from interpsweep.context import Context
from interpsweep.driver import write_specs
from interpsweep.jobs import run_job
from interpsweep.matching.world_scores import score_tree
from interpsweep.plan import build_plan
from interpsweep.store import Store
from interpsweep.tables import read_json, read_parquet

ROOT = Path(__file__).parents[2]


class Made:
    """The finished items of some stages of a sweep."""

    def __init__(self, root: Path, stages: set[str], *configs: Path) -> None:
        """Make the items of `stages` (and nothing else) of the sweep that `configs` mean."""
        self.plan, self.store = build_plan(load_sweep(configs), {}), Store(root)
        write_specs(self.plan, self.store)
        for job in self.plan.jobs:  # in the order of the pipeline
            if job.stage in stages:
                run_job(self.store, self.store.spec_path(job.digest))

    def paths(self, stage: str, **at: Any) -> list[Path]:
        """Folders of the items of a stage with these coordinates, in their order."""
        return [self.store.find(item.digest) for item in self.plan.items.of(stage, **at)]

    def table(self, stage: str, name: str, **at: Any) -> pd.DataFrame:
        """A table of the only item of a stage with these coordinates."""
        (path,) = self.paths(stage, **at)
        return read_parquet(path / f"{name}.parquet")

    def summaries(self, stage: str, **at: Any) -> list[dict[str, Any]]:
        """`summary.json` of all items of a stage with these coordinates."""
        return [read_json(path / "summary.json") for path in self.paths(stage, **at)]


def edge_scores(made: Made) -> pd.DataFrame:
    """`edge_scores` of all families of a world's sweep; of stage `agreement` nothing else."""
    codes = {item.spec["inputs"]["sae"]: item.digest for item in made.plan.items.of("encode")}
    found = []
    for tree in made.plan.items.of("tree", direction=None):
        saes = tree.spec["inputs"]["saes"]
        ladder = [made.store.find(sae) for sae in saes]
        encoded = [made.store.find(codes[sae]) for sae in saes]
        corpus = made.store.find(made.plan.items.by_digest[saes[0]].spec["inputs"]["corpus"])
        at = made.store.find(tree.digest)
        scores, _ = score_tree(at, ladder, encoded, corpus, tree.at["layer"], Context())
        found.append(scores.assign(**{key: tree.at[key] for key in FAMILY}))
    return pd.concat(found, ignore_index=True)

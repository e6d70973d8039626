"""Stage `children`: the children that latents have in the next wider SAE, step by step in width.

The children of one parent are a group of directions like a cluster of the census, and are tested
and named as one. They were chosen by direction: near their parent. Arrangements of the same
spectrum do not know that, so they must also stand out from children that are as near to the parent,
in random directions otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from interpsweep.columns import BRANCHES, DENDROGRAMS, PARALLELOGRAMS
from interpsweep.config.analysis import ChildrenSettings, GeometrySettings
from interpsweep.config.base import own_fields
from interpsweep.context import Context
from interpsweep.geometry import census, dendrograms, parallelograms, siblings
from interpsweep.geometry.selection import TESTS
from interpsweep.geometry.siblings import Array, Families, Ints
from interpsweep.spec import Spec
from interpsweep.tables import typed, write_json, write_parquet

LEAST = 5  # children in which a shape can be seen


def run(spec: Spec, inputs: dict[str, Any], out: Path, ctx: Context) -> dict[str, Any]:
    """Test the children of one tree; see docs/tables.md for the tables."""
    settings = own_fields(ChildrenSettings, spec["settings"])
    # groups of children are tested for shapes as clusters are
    shapes = own_fields(GeometrySettings, spec["settings"]["geometry"])
    steps = siblings.read(inputs["tree"], inputs["saes"], spec["settings"]["sae_seed"])
    made = tables(steps, settings, shapes, ctx)
    for name, table in made.items():
        write_parquet(table, out / f"{name}.parquet")
    summary = {
        "steps": len(made["dendrograms"]),
        "parents": len(made["branches"].drop_duplicates(["level", "parent"])),
        "children": int(made["dendrograms"]["children"].sum()),
    }
    write_json(summary, out / "summary.json")
    return summary


def tables(
    steps: Iterable[Families], settings: ChildrenSettings, shapes: GeometrySettings, ctx: Any
) -> dict[str, pd.DataFrame]:
    """`branches`, `dendrograms` and `parallelograms` of the steps of a tree; see docs/tables.md."""
    tested: list[dict[str, Any]] = []
    joined: list[dict[str, Any]] = []
    analogous: list[dict[str, Any]] = []
    for step in steps:
        tested += branches(step, settings, shapes, ctx)
        joined.append(step.at | dendrograms.measure(step, settings))
        analogous.append(step.at | parallelograms.measure(step, settings))
    return {
        "branches": typed(tested, BRANCHES),
        "dendrograms": typed(joined, DENDROGRAMS),
        "parallelograms": typed(analogous, PARALLELOGRAMS),
    }


def branches(
    step: Families, settings: ChildrenSettings, shapes: GeometrySettings, ctx: Any
) -> list[dict[str, Any]]:
    """Rows of `branches.parquet` of one step: every test that applies to a parent's children."""
    large = [(n, children) for n, children in step.members().items() if len(children) >= LEAST]
    large.sort(key=lambda family: (-len(family[1]), family[0]))
    if not large:
        return []
    null = siblings.null_rows(step, shapes.max_cluster, step.generator(settings.seed, 3))
    work = partial(_family_rows, step=step, null=null, seed=settings.seed, shapes=shapes)
    found = ctx.block_map(work, large[: settings.parents], "families of trees")
    return [row for rows in found for row in rows]


def _family_rows(
    family: tuple[int, Ints], step: Families, null: Array, seed: int, shapes: GeometrySettings
) -> list[dict[str, Any]]:
    """Rows of one (parent, children); of more than `max_cluster` children random ones are tested.

    `null` (n, d) are rows of a null dictionary.
    """
    parent, children = family
    rng = step.generator(seed, 4, parent)
    some = np.sort(rng.permutation(children)[: shapes.max_cluster])
    thing = census.Object(census.OWN, step.wide[some], some)
    others = partial(_others, null, step, some, parent)
    rows = census.object_rows(thing, others, shapes, rng, TESTS, near=True)
    facts = {"parent": parent, "children": len(children), "best_model": census.best_model(rows)}
    return [step.at | row | facts for row in rows if row["draws"]]


def _others(
    null: Array,
    step: Families,
    children: Ints,
    parent: int,
    size: int,
    draws: int,
    rng: np.random.Generator,
) -> Array:
    """Null families in the place of one, (draws, size, d)."""
    rows = census.subsets(null, size, draws, rng)
    return siblings.beside(step, rows, np.full(size, parent), children)

"""Geometry of the families of trees, step by step in width: shapes of children, and whole steps.

A family is a group of directions like a cluster of the census, and is tested and named as one. It
was chosen by direction: near its parent. Arrangements of the same spectrum do not know that, so it
must also stand out from children that are as near to the parent, in random directions otherwise.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from interpsweep.claims import dendrograms, parallelograms, siblings
from interpsweep.claims.multiplicity import selected_q
from interpsweep.claims.siblings import STEP_COLUMNS, Array, Families, Ints
from interpsweep.claims.sources import Source
from interpsweep.config.analysis import ClaimsSettings, GeometrySettings
from interpsweep.geometry import census
from interpsweep.geometry.selection import TESTS
from interpsweep.tables import typed

LEAST = 5  # children in which a shape can be seen
COLUMNS = {
    **STEP_COLUMNS,
    **dict.fromkeys(("parent", "children", "size"), "int32"),
    **{
        name: census.TYPES[name]
        for name in census.COLUMNS
        if name not in ("cluster", "source", "object", "size", "p_codes", "n_selected", "power")
    },
    "q": "float64",
}


def tables(
    trees: list[Source],
    saes: list[Source],
    settings: ClaimsSettings,
    shapes: GeometrySettings,
    ctx: Any,
) -> dict[str, pd.DataFrame]:
    """`branches`, `dendrograms` and `parallelograms` of all trees; see docs/tables.md."""
    tested: list[dict[str, Any]] = []
    joined: list[dict[str, Any]] = []
    analogous: list[dict[str, Any]] = []
    for step in siblings.read(trees, saes):
        tested += branches(step, settings, shapes, ctx)
        joined.append(step.at | dendrograms.measure(step, settings))
        analogous.append(step.at | parallelograms.measure(step, settings))
    return {
        "branches": with_q(typed(tested, COLUMNS)),
        "dendrograms": typed(joined, dendrograms.COLUMNS),
        "parallelograms": typed(analogous, parallelograms.COLUMNS),
    }


def with_q(table: pd.DataFrame) -> pd.DataFrame:
    """The table with its q: parents are selected over the whole sweep, then tests within them."""
    every = table.assign(source="tree")
    return table.assign(q=selected_q(every, ["source"], [*STEP_COLUMNS, "parent"], "p_selected"))


def branches(
    step: Families, settings: ClaimsSettings, shapes: GeometrySettings, ctx: Any
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

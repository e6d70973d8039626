"""Families of a tree: the children that a narrow latent has in the next wider SAE, and their null.

Children are chosen by direction as well as by firing: they are near their parent, and so near each
other. What is found among them is therefore held against children that are just as near to the
same parents but lie in random directions otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from interpsweep.columns import CHILD
from interpsweep.numerics.twins import Twins
from interpsweep.saes.artifact import Dictionary
from interpsweep.tables import read_parquet
from interpsweep.vectors import unit_length

Ints = NDArray[np.int64]
Unit = NDArray[np.float32]
Array = NDArray[np.float64]
LEAST = 1024  # rows of a null dictionary


@dataclass(frozen=True)
class Families:
    """All families of one step in width: where, with the seed of the SAEs, unit rows of the narrow
    (n, d) and the wide (m, d) SAE, the wide latents that are not rare, and of every child its
    latent and that of its parent (c,), by parent and then by child.
    """

    at: dict[str, Any]
    narrow: Unit
    wide: Unit
    alive: Ints
    child: Ints
    parent: Ints

    @cached_property
    def twins(self) -> Twins:
        """Of the rows of the wide SAE that are not rare."""
        return Twins(self.wide[self.alive])

    @cached_property
    def covariance(self) -> Array:
        """Of the rows of the wide SAE that are not rare, (d, d)."""
        rows = self.wide[self.alive].astype(np.float64)
        rows -= rows.mean(axis=0)
        return np.asarray(rows.T @ rows / len(rows))

    def members(self) -> dict[int, Ints]:
        """Parent -> its children."""
        return {n: self.child[self.parent == n] for n in np.unique(self.parent).tolist()}

    def generator(self, *purpose: int) -> np.random.Generator:
        """Random numbers of this step for one purpose, the setting of the seed first."""
        here = (self.at[name] for name in ("level", "d_narrow", "d_wide", "seed"))
        return np.random.default_rng([*purpose, *(max(int(value), 0) for value in here)])


def read(tree: Path, saes: list[Path], seed: int) -> Iterator[Families]:
    """The families of every step of a tree, one step at a time; those without children too.

    `saes` are those of its levels, narrow to wide, `seed` is theirs.
    """
    nodes, edges = (read_parquet(tree / f"{name}.parquet") for name in ("nodes", "edges"))
    widths = nodes.groupby("level")["d_sae"].first()
    wide = Dictionary.open(saes[0]).directions
    for level in range(1, len(widths)):
        narrow, wide = wide, Dictionary.open(saes[level]).directions
        here = nodes[(nodes["level"] == level) & (nodes["type"] != "rare")]
        yield Families(
            {"level": level, "d_narrow": widths[level - 1], "d_wide": widths[level], "seed": seed},
            narrow,
            wide,
            np.sort(here["latent"].to_numpy(np.int64)),
            *_children(edges[edges["level"] == level]),
        )


def _children(edges: pd.DataFrame) -> tuple[Ints, Ints]:
    """Children and their parents (c,) among the edges of one level."""
    kept = edges["primary"] & edges["related"] & (edges["step"] == 1) & edges["type"].isin(CHILD)
    rows = edges[kept].sort_values(["n", "w"])
    return rows["w"].to_numpy(np.int64), rows["n"].to_numpy(np.int64)


def null_rows(families: Families, count: int, rng: np.random.Generator) -> Array:
    """Rows of a null dictionary with the centre and covariance of the wide one, (n, d), at least
    `count`.
    """
    return families.twins.draw(max(count, LEAST), rng)


def beside(families: Families, rows: Array, parent: Ints, child: Ints) -> Array:
    """Random rows (..., c, d) turned towards their `parent` (c,) until they have the cosine with it
    that `child` (c,) has.

    What is off the parent follows as it would in Gaussian directions with the covariance C of the
    wide dictionary: given w.n, those have the mean C n (w.n - m.n) / (n.C n), and siblings have
    more in common than their parent.
    """
    towards = families.narrow[parent].astype(np.float64)
    along = towards @ families.covariance
    cosine = np.clip(np.sum(towards * families.wide[child], axis=-1, keepdims=True), -1, 1)
    spread = np.maximum(np.sum(along * towards, axis=-1, keepdims=True), 1e-300)
    moved = rows + (cosine - np.sum(rows * towards, axis=-1, keepdims=True)) * along / spread
    rest = moved - np.sum(moved * towards, axis=-1, keepdims=True) * towards
    return cosine * towards + np.sqrt(1 - cosine**2) * unit_length(rest)


def null_children(
    families: Families, child: Ints, parent: Ints, null: Array, rng: np.random.Generator
) -> Array:
    """Children in the place of `child` (c,) of `parent` (c,), as near to their parents, from random
    rows of `null` (n, d), n at least c; (c, d).

    One whose parent is nearest to it of all these parents is made again, and so is one whose
    parent is not, until the same holds for it, as long as there are rows.
    """
    parents, own = np.unique(parent, return_inverse=True)
    above = families.narrow[parents].astype(np.float64).T

    def nearest(rows: NDArray[np.floating], which: Ints) -> NDArray[np.bool_]:
        return np.asarray(np.argmax(rows @ above, axis=1) == own[which])

    expected = nearest(families.wide[child], np.arange(len(child)))
    order = rng.permutation(len(null))
    made = np.empty((len(child), null.shape[1]))
    left, used = np.arange(len(child)), 0
    while len(left) and used < len(order):
        now = left[: len(order) - used]
        made[now] = beside(families, null[order[used : used + len(now)]], parent[now], child[now])
        wrong = nearest(made[now], now) != expected[now]
        left, used = np.concatenate([now[wrong], left[len(now) :]]), used + len(now)
    return made

"""Moments of activations, summed in float64 over blocks of rows in a fixed order. No torch.

Second moments cost d^2 per row, which for many tokens would dwarf the forward pass; a fixed number
of rows is plenty, as their error is about 1 / sqrt(rows).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from safetensors.numpy import save_file

from interpsweep.activations.artifact import STATISTICS, Activations, Statistics

Block = tuple[int, int]
BlockMap = Callable[[Callable[[Block], "Sums"], Iterable[Block], str], Iterator["Sums"]]


class Sums(NamedTuple):
    """Sums over the rows of one block, float64."""

    rows: int
    vector: np.ndarray  # (d,) sum of rows
    outer: np.ndarray  # (d, d) sum of outer products
    norm: float  # sum of Euclidean norms
    squared_norm: float


def block_sums(path: Path, masks: tuple[Path, ...], block: Block) -> Sums:
    """Sums over rows [start, stop) of the activations at `path` that `masks` leave."""
    return sums_of(Activations(path, masks).read(*block))


def sums_of(rows: np.ndarray) -> Sums:
    """Sums over `rows` (n, d)."""
    exact = rows.astype(np.float64)
    squares = np.einsum("nd,nd->n", exact, exact)
    norms = float(np.sqrt(squares).sum())
    return Sums(len(exact), exact.sum(0), exact.T @ exact, norms, float(squares.sum()))


def moments(sums: Iterable[Sums]) -> Statistics:
    """Means over all rows of the blocks behind `sums`, added up in their order."""
    rows, norm, squared_norm = 0, 0.0, 0.0
    vector: np.ndarray | float = 0.0
    outer: np.ndarray | float = 0.0
    for part in sums:
        rows += part.rows
        vector = vector + part.vector
        outer = outer + part.outer
        norm += part.norm
        squared_norm += part.squared_norm
    if rows == 0:
        raise ValueError("no rows: the moments of nothing are undefined")
    return Statistics(
        np.asarray(vector) / rows, np.asarray(outer) / rows, norm / rows, squared_norm / rows
    )


def write_statistics(
    activations: Activations, out: Path, block_map: BlockMap, limit: int, split: str = "train"
) -> Statistics:
    """Compute the moments of a split of `activations` and write them to `out`.

    `limit`: see `spread`.
    """
    blocks = spread(activations.chunks(split), limit)
    work = partial(block_sums, activations.path, activations.masks)
    found = moments(block_map(work, blocks, "statistics"))
    tensors = {
        "mean": found.mean,
        "second_moment": found.second_moment,
        "mean_norm": np.array([found.mean_norm]),
        "mean_squared_norm": np.array([found.mean_squared_norm]),
    }
    save_file(tensors, out / STATISTICS)
    return found


def spread(blocks: list[Block], limit: int) -> list[Block]:
    """All of `blocks` if they have at most `limit` rows; else some, evenly spread, to reach it."""
    rows = sum(stop - start for start, stop in blocks)
    if rows <= limit:
        return blocks
    number = max(1, round(len(blocks) * limit / rows))
    return [blocks[i] for i in np.linspace(0, len(blocks) - 1, number).round().astype(int)]

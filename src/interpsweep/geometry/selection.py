"""Selection-aware null (N3): the same search in null dictionaries.

Clusters look structured even in a random dictionary, because they were searched for. So the search
runs again on twins of the dictionary, and a cluster is compared with what it finds there.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from interpsweep.config.analysis import GeometrySettings
from interpsweep.geometry import groups, nulls
from interpsweep.geometry.outcomes import standings
from interpsweep.geometry.shapes import SHAPES
from interpsweep.matching.twins import twin

Unit = NDArray[np.float32]
Array = NDArray[np.float64]
TESTS = tuple(name for name, shape in SHAPES.items() if shape.null != "random")
ROUND = 8  # parts of all null dictionaries, after each of which settled searches stop
PARTS = 4  # pieces of a round: what one worker takes at a time


class NullPool(NamedTuple):
    """Clusters in null dictionaries: sizes (m,), z of each test (m,), and the mean number of
    clusters in one dictionary.
    """

    sizes: NDArray[np.int64]
    z: dict[str, Array]
    per_dictionary: float


def standing_z(members: Sequence[Unit], settings: GeometrySettings) -> Array:
    """z (m, tests) of groups of directions (k, d), NaN where a test has no power."""
    z = np.full((len(members), len(SHAPES)), np.nan)
    sizes = np.array([len(rows) for rows in members])
    for size in np.unique(sizes):
        mine = np.flatnonzero(sizes == size)
        batch = np.array([members[i] for i in mine.tolist()])
        found = standings(batch, settings.components, settings.draws, TESTS)
        for column, name in enumerate(SHAPES):
            if name in found:
                z[mine, column] = found[name].z
    return z


def null_clusters(
    numbers: range, source: str, unit: Unit, count: int, level: float | None, settings: Any
) -> tuple[NDArray[np.int64], Array]:
    """Sizes (m,) and z values (m, tests) of the clusters of some null dictionaries, of `count`
    rows each.
    """
    members: list[Unit] = []
    for number in numbers:
        rng = np.random.default_rng([settings.seed, 2, number])
        null = twin(unit, count, rng).astype(np.float32)
        members += [null[g.members] for g in groups.by_direction(source, null, settings, level)]
    return np.array([len(rows) for rows in members], np.int64), standing_z(members, settings)


def null_pool(
    source: str, unit: Unit, found: list[NDArray[np.integer]], settings: GeometrySettings, ctx: Any
) -> NullPool:
    """Null clusters for the clusters `found` in unit directions (n, d) by a source.

    Null dictionaries have at most `null_latents` rows, and as many rows together as
    `null_dictionaries` of that many: of a narrow dictionary there are more of them. They come in
    rounds until `nulls.HITS` null clusters reach each cluster in each of its tests.
    """
    count = min(len(unit), settings.null_latents)
    level = groups.null_resolution(unit, count, settings) if source == "leiden" else None
    every = -(-settings.null_dictionaries * settings.null_latents // count)
    step = -(-every // ROUND)
    piece = -(-step // PARTS)
    work = partial(
        null_clusters, source=source, unit=unit, count=count, level=level, settings=settings
    )
    own = standing_z([unit[rows] for rows in found], settings)
    own_sizes = np.array([len(rows) for rows in found], np.int64)
    sizes, z, drawn = np.zeros(0, np.int64), np.zeros((0, len(SHAPES))), 0
    while drawn < every and (drawn == 0 or not _settled(own_sizes, own, sizes, z)):
        stop = min(drawn + step, every)
        pieces = [range(at, min(at + piece, stop)) for at in range(drawn, stop, piece)]
        parts = list(ctx.block_map(work, pieces, f"null dictionaries ({source})"))
        sizes = np.concatenate([sizes, *(s for s, _ in parts)])
        z = np.concatenate([z, *(rows for _, rows in parts)])
        drawn = stop
    return NullPool(sizes, dict(zip(SHAPES, z.T, strict=True)), len(sizes) / max(drawn, 1))


def _settled(own_sizes: NDArray[np.int64], own: Array, sizes: NDArray[np.int64], z: Array) -> bool:
    """Whether enough null clusters (m, tests) reach every one of the own (n, tests)."""
    mine, theirs = nulls.size_bin(own_sizes), nulls.size_bin(sizes)
    for number in np.unique(mine):
        pool = np.sort(np.nan_to_num(z[theirs == number], nan=-np.inf), axis=0)
        if len(pool) < nulls.HITS:
            return False
        if np.any(own[mine == number] > pool[-nulls.HITS]):
            return False
    return True

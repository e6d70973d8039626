"""Selection-aware null (N3): the same search in null dictionaries.

Clusters look structured even in a random dictionary, because they were searched for. So the search
runs again on twins of the dictionary, and a cluster is compared with what it finds there. Only a
test whose own null rejects is compared: the rest claims nothing whatever null dictionaries hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from interpsweep.config.analysis import GeometrySettings
from interpsweep.geometry import groups, nulls
from interpsweep.geometry.outcomes import rejecting_z
from interpsweep.geometry.shapes import SHAPES
from interpsweep.numerics.twins import Twins

Unit = NDArray[np.float32]
Array = NDArray[np.float64]
TESTS = tuple(name for name, shape in SHAPES.items() if shape.null != "random")
ROUNDS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1)  # shares of the null dictionaries drawn so far
PARTS = 4  # pieces of a round: what one worker takes at a time
BINS = len(nulls.SIZE_EDGES) + 1
AT_ONCE = 64  # sets of points tested together


class NullPool(NamedTuple):
    """Clusters in null dictionaries: sizes (m,), z of each test (m,), and the mean number of
    clusters in one dictionary.
    """

    sizes: NDArray[np.int64]
    z: dict[str, Array]
    per_dictionary: float


def standing_z(
    members: Sequence[Unit], settings: GeometrySettings, wanted: NDArray[np.bool_]
) -> Array:
    """z (m, tests) of groups of directions (k, d), NaN where a test has no power or is not `wanted`
    (bins of sizes, tests), -inf where its own null does not reject.
    """
    z = np.full((len(members), len(SHAPES)), np.nan)
    sizes = np.array([len(rows) for rows in members], np.int64)
    for size in np.unique(sizes):
        tests = [name for name, on in zip(SHAPES, wanted[nulls.size_bin(size)], strict=True) if on]
        mine = np.flatnonzero(sizes == size)
        for first in range(0, len(mine), AT_ONCE):
            some = mine[first : first + AT_ONCE]
            sets = np.array([members[number] for number in some])
            made = rejecting_z(sets, settings.components, settings.draws, tests, nulls.LEVEL)
            for name, values in made.items():
                z[some, list(SHAPES).index(name)] = values
    return z


def null_clusters(
    numbers: range,
    source: str,
    twins: Twins,
    count: int,
    level: float | None,
    wanted: NDArray[np.bool_],
    settings: GeometrySettings,
) -> tuple[NDArray[np.int64], Array]:
    """Sizes (m,) and z values (m, tests) of the clusters of some null dictionaries, of `count`
    rows each; only `wanted` tests are made.
    """
    members: list[Unit] = []
    for number in numbers:
        rng = np.random.default_rng([settings.seed, 2, number])
        null = twins.draw(count, rng).astype(np.float32)
        members += [null[g.members] for g in groups.by_direction(source, null, settings, level)]
    sizes = np.array([len(rows) for rows in members], np.int64)
    return sizes, standing_z(members, settings, wanted)


def null_pool(
    source: str,
    unit: Unit,
    sizes: NDArray[np.int64],
    own: Array,
    settings: GeometrySettings,
    ctx: Any,
) -> NullPool:
    """Null clusters for clusters of `sizes` (n,) that a source found in unit directions (m, d).

    `own` (n, tests) are the z of their tests, NaN where a test is not to be compared. Null
    dictionaries have at most `null_latents` rows, and as many rows together as
    `null_dictionaries` of that many: of a narrow dictionary there are more of them. They come in
    rounds. A test of clusters of a size bin that `nulls.HITS` null clusters reach for each of them
    is settled, and left out of further rounds.
    """
    count = min(len(unit), settings.null_latents)
    level = groups.null_resolution(unit, count, settings) if source == "leiden" else None
    every = -(-settings.null_dictionaries * settings.null_latents // count)
    bins = nulls.size_bin(sizes)
    null_sizes, z, drawn = np.zeros(0, np.int64), np.zeros((0, len(SHAPES))), 0
    twins = Twins(unit)
    for share in ROUNDS:
        wanted = unsettled(bins, own, nulls.size_bin(null_sizes), z)
        if drawn and not wanted.any():
            break
        stop = max(1, round(share * every))
        piece = max(1, -(-(stop - drawn) // PARTS))
        pieces = [range(at, min(at + piece, stop)) for at in range(drawn, stop, piece)]
        work = partial(
            null_clusters,
            source=source,
            twins=twins,
            count=count,
            level=level,
            wanted=wanted,
            settings=settings,
        )
        parts = list(ctx.block_map(work, pieces, f"null dictionaries ({source})"))
        null_sizes = np.concatenate([null_sizes, *(s for s, _ in parts)])
        z = np.concatenate([z, *(rows for _, rows in parts)])
        drawn = stop
    per_dictionary = len(null_sizes) / max(drawn, 1)
    return NullPool(null_sizes, dict(zip(SHAPES, z.T, strict=True)), per_dictionary)


def unsettled(
    bins: NDArray[np.intp], own: Array, null_bins: NDArray[np.intp], null: Array
) -> NDArray[np.bool_]:
    """Size bins and tests (bins, tests) in which too few null clusters (m, tests) reach one of the
    own (n, tests); NaN is no test.
    """
    made = np.zeros((BINS, len(SHAPES)), bool)
    for number in np.unique(bins):
        pool = np.sort(np.nan_to_num(null[null_bins == number], nan=-np.inf), axis=0)
        mine = own[bins == number]
        if len(pool) < nulls.HITS:
            made[number] = ~np.isnan(mine).all(axis=0)
        else:
            made[number] = (mine > pool[-nulls.HITS]).any(axis=0)
    return made

"""Shape tests of points: statistics, how far each stands above its null (z), and p-values.

z is a function of the points alone: the null that standardises is made of the same random frames
for all objects of one size, so that clusters of the data and of null dictionaries are measured
alike. Tests with the same null see the same draws.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from interpsweep.geometry import nulls
from interpsweep.geometry.arrangements import Arrangement, arrangement
from interpsweep.geometry.shapes import SHAPES
from interpsweep.vectors import unit_length

Array = NDArray[np.float64]
PIECES = (1 / 5, 2 / 5, 1)  # shares of the standardising draws after which a set is given up


class Outcome(NamedTuple):
    """One test on one object."""

    statistic: float
    null_mean: float
    null_sd: float
    z: float
    p: float
    draws: int


class Sets:
    """Sets of points (B, k, d) to be tested, each with its leading principal coordinates."""

    def __init__(self, points: NDArray[np.floating], components: int) -> None:
        self.rows = np.asarray(points, np.float64)
        self.components = min(components, self.rows.shape[1] - 1, self.rows.shape[2])

    @cached_property
    def leading(self) -> Array:
        """Principal coordinates (B, k, r)."""
        return nulls.batch_principal(self.rows, self.components)

    @cached_property
    def arrangement(self) -> Arrangement:
        """What the nulls of arrangements keep."""
        return arrangement(self.rows)

    def data(self, null: str) -> Array:
        """What statistics with that null are taken of, (B, k, r) or (B, k, d)."""
        return self.rows if null in ("random", "spectrum") else self.leading

    def frames(self, null: str) -> tuple[str, int, int]:
        """Kind, rows and columns of the random frames that draws of a null are made of."""
        _, k, d = self.rows.shape
        kind = {"random": "scattered", "spectrum": "free"}.get(null, "centred")
        return kind, k, {"scattered": d, "free": min(k, d)}.get(kind, min(k - 1, d))

    def draws(self, null: str, frames: Array, which: NDArray[np.integer]) -> list[Array]:
        """Draws (b, draws, k, r) of a null for the sets `which` (b,), from random frames
        (draws, k, m). Where there is more than one way, a draw has the largest of its statistics.
        """
        rows = self.rows[which]
        if null == "random":
            return [frames * np.linalg.norm(rows, axis=2)[:, None, :, None]]
        if null == "spectrum":
            singular = np.linalg.svd(rows, compute_uv=False)
            return [unit_length(frames * singular[:, None, None])]
        kept, r = self.arrangement.some(which), self.components
        if null == "haar within":
            return [kept.within(frames, r)]
        return [kept.plain(frames, r), kept.at_lengths(frames, r)]


# kind -> maker of random frames: k, m, draws and a generator to (draws, k, m)
FRAMES = {"centred": nulls.centred, "free": nulls.free, "scattered": nulls.scattered}


@lru_cache(maxsize=128)
def _standard(kind: str, k: int, m: int, draws: int) -> Array:
    return FRAMES[kind](k, m, draws, np.random.default_rng([k, m, draws]))


def _largest(test: str, drawn: list[Array]) -> Array:
    """The statistic of draws (b, draws), the larger one of all ways."""
    shape = drawn[0].shape
    flat = [SHAPES[test].statistic(points.reshape(-1, *points.shape[2:])) for points in drawn]
    return np.max(flat, axis=0).reshape(shape[:2])


def _by_null(k: int, wanted: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """The wanted tests of k points, by their null."""
    tested = [name for name in wanted if k >= SHAPES[name].least]
    for null in dict.fromkeys(SHAPES[name].null for name in tested):
        yield null, [name for name in tested if SHAPES[name].null == null]


def _own(sets: Sets, test: str) -> tuple[Array, NDArray[np.bool_]]:
    """The statistic of every set (B,), and whether the test applies to it."""
    data = sets.data(SHAPES[test].null)
    applies = np.asarray(SHAPES[test].applies(data), bool)
    value = np.full(len(data), np.nan)
    if applies.any():
        value[applies] = SHAPES[test].statistic(data[applies])
    return value, applies


def rejecting_z(
    points: NDArray[np.floating], components: int, draws: int, wanted: Sequence[str], level: float
) -> dict[str, Array]:
    """z (B,) of the wanted tests of sets of points (B, k, d), as in `outcomes`: NaN where a test
    does not apply, -inf where more than a share `level` of the standardising draws reach the
    statistic, so that its own null does not reject. Such sets need not have all draws.
    """
    sets, most = Sets(points, components), int(level * (1 + draws) + 1e-9) - 1
    made = {}
    for null, names in _by_null(sets.rows.shape[1], wanted):
        frames = _standard(*sets.frames(null), draws)
        own = {name: _own(sets, name) for name in names}
        drawn = {name: np.full((len(sets.rows), draws), np.nan) for name in names}
        alive = {name: applies.copy() for name, (_, applies) in own.items()}
        first = 0
        for share in PIECES:
            last = round(share * draws)
            which = np.flatnonzero(np.any(list(alive.values()), axis=0))
            if not len(which):
                break
            placed = sets.draws(null, frames[first:last], which)
            for name in names:
                mine = alive[name][which]
                if mine.any():
                    here = which[mine]
                    drawn[name][here, first:last] = _largest(name, [way[mine] for way in placed])
                    reached = drawn[name][here, :last] >= own[name][0][here, None]
                    alive[name][here] = reached.sum(axis=1) <= most
            first = last
        for name in names:
            value, applies = own[name]
            z = np.where(applies, -np.inf, np.nan)
            rejects = alive[name]
            z[rejects] = _z(value[rejects], drawn[name][rejects])
            made[name] = z
    return made


def _z(statistic: Array, drawn: Array) -> Array:
    """Statistics (B,) in standard deviations above the mean of their null draws (B, draws)."""
    return np.asarray((statistic - drawn.mean(axis=1)) / np.maximum(drawn.std(axis=1), 1e-12))


def outcomes(
    points: NDArray[np.floating],
    components: int,
    draws: int,
    most: int,
    rng: np.random.Generator,
    wanted: Sequence[str] = tuple(SHAPES),
) -> dict[str, Outcome]:
    """Shape tests of one object (k, d), without those that need more points or do not apply.

    `draws` standardise a statistic. They are also the first behind its p; tests that they do not
    settle get fresh ones, up to `most` in all (`nulls.sequential`).
    """
    sets, made = Sets(np.asarray(points)[None], components), {}
    # a generator for every null there is, so that no test's draws depend on which others are made
    every: list[str] = sorted({shape.null for shape in SHAPES.values()})
    streams = dict(zip(every, rng.spawn(len(every)), strict=True))
    for null, names in _by_null(len(points), wanted):
        own = {name: _own(sets, name) for name in names}
        tested = {name: float(value[0]) for name, (value, applies) in own.items() if applies[0]}
        if tested:
            drawn = _drawn(sets, null, tested, draws, most, streams[null])
            for name, value in tested.items():
                standard = drawn[name][:draws]
                p, used = nulls.sequential(drawn[name] >= value)
                z = float(_z(np.array([value]), standard[None])[0])
                made[name] = Outcome(
                    value, float(standard.mean()), float(standard.std()), z, p, used
                )
    return {name: made[name] for name in wanted if name in made}


def _drawn(
    sets: Sets,
    null: str,
    tested: dict[str, float],
    draws: int,
    most: int,
    rng: np.random.Generator,
) -> dict[str, Array]:
    """Draws of the statistics of one set until each test is settled, or `most`: test -> (n,)."""
    kind, k, m = sets.frames(null)
    one = np.zeros(1, np.int64)
    parts: dict[str, list[Array]] = {name: [] for name in tested}
    frames, done, left = _standard(kind, k, m, draws), 0, dict(tested)
    while True:
        placed = sets.draws(null, frames, one)
        for name in left:
            parts[name].append(_largest(name, placed)[0])
        done += len(frames)
        left = {
            name: value
            for name, value in left.items()
            if sum(int((part >= value).sum()) for part in parts[name]) < nulls.HITS
        }
        if not left or done >= most:
            return {name: np.concatenate(values) for name, values in parts.items()}
        frames = FRAMES[kind](
            k, m, min(nulls.AT_ONCE if done > draws else nulls.FIRST, most - done), rng
        )

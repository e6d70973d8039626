"""Shape tests of points: statistics, how far each stands above its null (z), and p-values.

z is a function of the points alone: the null that standardises is made of the same random frames
for all objects of one size, so that clusters of the data and of null dictionaries are measured
alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from interpsweep.geometry import nulls
from interpsweep.geometry.arrangements import arrangement
from interpsweep.geometry.shapes import SHAPES, Shape
from interpsweep.vectors import unit_length

Array = NDArray[np.float64]


class Outcome(NamedTuple):
    """One test on one object."""

    statistic: float
    null_mean: float
    null_sd: float
    z: float
    p: float
    draws: int


class Null(NamedTuple):
    """What a statistic is taken of, (k, r), and how random frames of some kind (draws, k, m) become
    draws of its null, each (draws, k, r). Where there is more than one way, a draw has the largest
    of its statistics.
    """

    data: Array
    kind: str
    m: int
    ways: tuple[Callable[[Array], Array], ...]

    def draw(self, draws: int, rng: np.random.Generator) -> list[Array]:
        """Fresh draws, in all ways."""
        return self._placed(FRAMES[self.kind](len(self.data), self.m, draws, rng))

    def standard(self, draws: int) -> list[Array]:
        """The draws that standardise, in all ways."""
        return self._placed(_standard(self.kind, len(self.data), self.m, draws))

    def _placed(self, frames: Array) -> list[Array]:
        return [way(frames) for way in self.ways]


# kind -> maker of random frames: k, m, draws and a generator to (draws, k, m)
FRAMES = {"centred": nulls.centred, "free": nulls.free, "scattered": nulls.scattered}


@lru_cache(maxsize=128)
def _standard(kind: str, k: int, m: int, draws: int) -> Array:
    return FRAMES[kind](k, m, draws, np.random.default_rng([k, m, draws]))


class Standing(NamedTuple):
    """One test on one object: its statistic, mean and spread of its null."""

    shape: Shape
    null: Null
    statistic: float
    mean: float
    sd: float

    @property
    def z(self) -> float:
        """The statistic in standard deviations above the mean of its null."""
        return (self.statistic - self.mean) / max(self.sd, 1e-12)


def null_of(rows: Array, points: Array, name: str) -> Null:
    """The null of that name of rows (k, d) with principal coordinates `points` (k, r)."""
    if name == "random":
        length = np.linalg.norm(rows, axis=1)[:, None]
        return Null(rows, "scattered", rows.shape[1], (lambda frames: frames * length,))
    if name == "spectrum":
        singular = np.asarray(np.linalg.svd(rows, compute_uv=False))
        return Null(rows, "free", len(singular), (lambda frames: unit_length(frames * singular),))
    kept, r = arrangement(rows), points.shape[1]
    ways: tuple[Callable[[Array], Array], ...] = (lambda frames: kept.within(frames)[:, :, :r],)
    if name == "haar lengths":
        ways = (
            lambda frames: (frames * kept.singular)[:, :, :r],
            lambda frames: kept.at_lengths(frames, r),
        )
    return Null(points, "centred", len(kept.singular), ways)


def standings(
    points: NDArray[np.floating], components: int, draws: int, wanted: tuple[str, ...]
) -> Iterator[tuple[str, Standing]]:
    """Tests of one object (k, d), without those that need more points or do not apply."""
    rows = np.asarray(points, np.float64)
    tested = {name: SHAPES[name] for name in wanted if len(rows) >= SHAPES[name].least}
    if not tested:
        return
    leading = nulls.batch_principal(rows[None], components)[0]
    known: dict[str, Null] = {}
    standard: dict[str, list[Array]] = {}
    for name, shape in tested.items():
        if shape.null not in known:
            known[shape.null] = null_of(rows, leading, shape.null)
        null = known[shape.null]
        if shape.applies(null.data[None])[0]:
            if shape.null not in standard:
                standard[shape.null] = null.standard(draws)
            found = _largest(shape, standard[shape.null])
            own = float(shape.statistic(null.data[None])[0])
            yield name, Standing(shape, null, own, float(found.mean()), float(found.std()))


def outcomes(
    points: NDArray[np.floating],
    components: int,
    draws: int,
    most: int,
    rng: np.random.Generator,
    wanted: tuple[str, ...] = tuple(SHAPES),
) -> dict[str, Outcome]:
    """Shape tests of one object (k, d), without those that need more points or do not apply.

    `draws` standardise a statistic; others, up to `most`, give its p-value.
    """
    made = {}
    for name, at in standings(points, components, draws, wanted):
        draw = partial(_draw, at, rng)
        p, used = nulls.settled_p(at.statistic, draw, most)
        made[name] = Outcome(at.statistic, at.mean, at.sd, at.z, p, used)
    return made


def _draw(at: Standing, rng: np.random.Generator, draws: int) -> Array:
    return _largest(at.shape, at.null.draw(draws, rng))


def _largest(shape: Shape, drawn: list[Array]) -> Array:
    """The statistic of draws, the larger one of all ways."""
    return np.max([shape.statistic(points) for points in drawn], axis=0)

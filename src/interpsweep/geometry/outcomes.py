"""Shape tests of points: statistics, how far each stands above its null (z), and p-values.

z is a function of the points alone: the null that standardises begins with the same random numbers
for all points of one number, so that clusters of the data and of null dictionaries are measured
alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from interpsweep.geometry import nulls
from interpsweep.geometry.arrangements import arrangement
from interpsweep.geometry.shapes import SHAPES, Shape

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
    """What a statistic is taken of, (k, r), and random draws of it, (draws, k, r)."""

    data: Array
    draw: Callable[[int, np.random.Generator], Array]


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


def null_of(rows: Array, name: str, components: int) -> Null:
    """The null of that name of points (k, d)."""
    k, dim = rows.shape
    if name == "random":
        length = np.linalg.norm(rows, axis=1)[:, None]
        return Null(rows, lambda draws, rng: nulls.scattered(k, dim, draws, rng) * length)
    if name == "spectrum":
        singular = np.asarray(np.linalg.svd(rows, compute_uv=False))
        return Null(rows, lambda draws, rng: nulls.spun(singular, k, draws, rng))
    data = nulls.batch_principal(rows[None], components)[0]
    if name == "haar within":
        kept = arrangement(rows)
        return Null(data, lambda draws, rng: kept.drawn(draws, data.shape[1], rng))
    sphere = nulls.sphere_of(rows, data) if name == "haar unit" else None
    if sphere is None:
        return Null(data, lambda draws, rng: nulls.haar(data, draws, rng))
    return Null(data, lambda draws, rng: sphere.lift(nulls.haar(data, draws, rng)))


def standings(
    points: NDArray[np.floating], components: int, draws: int, wanted: tuple[str, ...]
) -> Iterator[tuple[str, Standing]]:
    """Tests of one object (k, d), without those that need more points or do not apply."""
    rows = np.asarray(points, np.float64)
    known: dict[str, tuple[Null, Array]] = {}
    for name in wanted:
        shape = SHAPES[name]
        if len(rows) < shape.least:
            continue
        if shape.null not in known:
            null = null_of(rows, shape.null, components)
            known[shape.null] = null, null.draw(draws, np.random.default_rng([len(rows), draws]))
        null, drawn = known[shape.null]
        if shape.applies(null.data[None])[0]:
            found = shape.statistic(drawn)
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
    return at.shape.statistic(at.null.draw(draws, rng))

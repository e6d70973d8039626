"""Shape tests of points: statistics, how far each stands above its null (z), and p-values.

z is a function of the points alone: all clusters of one size are standardised by the same random
frames, so that those of the data and those of null dictionaries are measured alike.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from interpsweep.geometry import nulls
from interpsweep.geometry.shapes import SHAPES, Shape

Array = NDArray[np.float64]
CHUNK = 2**22  # numbers in one batch of draws


class Outcome(NamedTuple):
    """One test on one object."""

    statistic: float
    null_mean: float
    null_sd: float
    z: float
    p: float
    draws: int


class Standing(NamedTuple):
    """One test on objects of one size: statistics (m,), mean and spread of each one's null."""

    statistic: Array
    mean: Array
    sd: Array

    @property
    def z(self) -> Array:
        """Statistics in standard deviations above the mean of their null, (m,)."""
        return (self.statistic - self.mean) / np.maximum(self.sd, 1e-12)


def standings(
    points: NDArray[np.floating], components: int, draws: int, wanted: tuple[str, ...]
) -> dict[str, Standing]:
    """Tests of a batch of objects (m, k, d) of one size, without those that need more points.

    Where a test does not apply its numbers are NaN.
    """
    batch = np.asarray(points, np.float64)
    tested = {name: SHAPES[name] for name in wanted if batch.shape[1] >= SHAPES[name].least}
    wanted_nulls = sorted({shape.null for shape in tested.values()})
    null_of = {null: _frames(batch, null, components, draws) for null in wanted_nulls}
    made = {}
    for name, shape in tested.items():
        null = null_of[shape.null]
        here = shape.applies(null.data)
        statistic, mean, sd = np.full((3, len(batch)), np.nan)
        if here.any():
            statistic[here] = shape.statistic(null.data[here])
            mean[here], sd[here] = _spread(shape, null.of(here))
        made[name] = Standing(statistic, mean, sd)
    return made


class Null(NamedTuple):
    """What a statistic is taken of, (m, k, r), and its null: products of `spread` (m or 1, k or 1,
    r or 1) and frames (draws, k, r), brought to length one if `unit`, or lifted to a sphere.
    """

    data: Array
    spread: Array
    frames: Array
    unit: bool = False
    sphere: nulls.Sphere | None = None

    def of(self, here: NDArray[np.bool_]) -> Null:
        """The null of some of the objects."""
        sphere = self.sphere and nulls.Sphere(self.sphere.mean[here], self.sphere.outside[here])
        spread = self.spread[here] if len(self.spread) > 1 else self.spread
        return self._replace(data=self.data[here], spread=spread, sphere=sphere)

    def draws(self, part: slice) -> Array:
        """All draws for some of the objects, (parts * draws, k, r)."""
        some = self.spread[part, None] * self.frames
        flat = some.reshape(-1, *self.frames.shape[1:])
        if self.sphere is not None:
            mean, outside = (np.repeat(a[part], len(self.frames), axis=0) for a in self.sphere)
            return nulls.Sphere(mean, outside).lift(flat)
        return nulls.unit_length(flat) if self.unit else flat


def _frames(points: Array, null: str, components: int, draws: int) -> Null:
    """The null of that name of objects (m, k, d)."""
    k, dim = points.shape[1:]
    if null.startswith("haar"):
        data = nulls.batch_principal(points, components)
        spread = np.linalg.norm(data, axis=1)[:, None]
        sphere = nulls.sphere_of(points, data) if null == "haar unit" else None
        return Null(data, spread, arranged(k, data.shape[2], draws), sphere=sphere)
    if null == "random":
        length = np.asarray(np.linalg.norm(points, axis=2)[:, :, None])
        same = np.ptp(length) < 1e-5  # unit directions: one null for all of them
        return Null(points, length[:1] if same else length, scattered(k, dim, draws))
    singular = np.asarray(np.linalg.svd(points, compute_uv=False))
    return Null(points, singular[:, None], turned(k, singular.shape[1], draws), unit=True)


def _spread(shape: Shape, null: Null) -> tuple[Array, Array]:
    """Mean and spread (m,) of a statistic over the draws of its null."""
    step = max(1, CHUNK // null.frames.size)
    parts = []
    for first in range(0, len(null.spread), step):
        some = null.draws(slice(first, first + step))
        parts.append(shape.statistic(some).reshape(-1, len(null.frames)))
    every = np.concatenate(parts)
    return every.mean(axis=1), every.std(axis=1)


@lru_cache(maxsize=128)
def arranged(k: int, r: int, draws: int) -> Array:
    """The Haar frames (draws, k, r) that standardise."""
    return nulls.haar(np.full((k, r), k**-0.5), draws, np.random.default_rng([k, r, draws]))


@lru_cache(maxsize=128)
def scattered(k: int, dim: int, draws: int) -> Array:
    """The random directions (draws, k, min(k, dim)) that standardise."""
    return nulls.scattered(k, dim, draws, np.random.default_rng([k, dim, draws, 1]))


@lru_cache(maxsize=128)
def turned(k: int, r: int, draws: int) -> Array:
    """The uncentred Haar frames (draws, k, r) that standardise."""
    rng = np.random.default_rng([k, r, draws, 2])
    return np.linalg.qr(rng.standard_normal((draws, k, r)))[0]


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
    rows = np.asarray(points, np.float64)
    k, dim = rows.shape
    coordinates = nulls.batch_principal(rows[None], components)[0]
    length = np.linalg.norm(rows, axis=1)[:, None]
    singular = np.asarray(np.linalg.svd(rows, compute_uv=False))
    sphere = nulls.sphere_of(rows[None], coordinates[None])

    def lifted(n: int) -> Array:
        drawn = nulls.haar(coordinates, n, rng)
        return drawn if sphere is None else sphere.lift(drawn)

    source = {
        "haar": lambda n: nulls.haar(coordinates, n, rng),
        "haar unit": lifted,
        "random": lambda n: nulls.scattered(k, dim, n, rng) * length,
        "spectrum": lambda n: nulls.spun(singular, k, n, rng),
    }
    made = {}
    for name, at in standings(rows[None], components, draws, wanted).items():
        if np.isnan(at.statistic[0]):
            continue
        draw = partial(_draw, SHAPES[name], source[SHAPES[name].null])
        p, used = nulls.settled_p(float(at.statistic[0]), draw, most)
        statistic, mean, sd, z = (float(a[0]) for a in (at.statistic, at.mean, at.sd, at.z))
        made[name] = Outcome(statistic, mean, sd, z, p, used)
    return made


def _draw(shape: Shape, source: Callable[[int], Array], draws: int) -> Array:
    return shape.statistic(source(draws))

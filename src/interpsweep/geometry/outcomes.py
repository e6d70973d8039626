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
        data, spread, frames = null_of[shape.null]
        statistic = np.asarray(shape.statistic(data), np.float64)
        applies = np.flatnonzero(~np.isnan(statistic))
        mean, sd = np.full((2, len(statistic)), np.nan)
        if len(applies):
            if len(spread) > 1:
                spread = spread[applies]
            mean[applies], sd[applies] = _null(shape, frames, spread)
        made[name] = Standing(statistic, mean, sd)
    return made


def _frames(points: Array, null: str, components: int, draws: int) -> tuple[Array, Array, Array]:
    """What a statistic with this null is taken of (m, k, r), and the spreads (m or 1, k or 1, r or
    1) and frames (draws, k, r) whose products are its null.
    """
    k, dim = points.shape[1:]
    if null == "haar":
        data = nulls.batch_principal(points, components)
        return data, np.linalg.norm(data, axis=1)[:, None], arranged(k, data.shape[2], draws)
    if null == "random":
        length = np.asarray(np.linalg.norm(points, axis=2)[:, :, None])
        same = np.ptp(length) < 1e-5  # unit directions: one null for all of them
        return points, length[:1] if same else length, scattered(k, dim, draws)
    singular = np.asarray(np.linalg.svd(points, compute_uv=False))
    return points, singular[:, None], turned(k, singular.shape[1], draws)


def _null(shape: Shape, frames: Array, spread: Array) -> tuple[Array, Array]:
    """Mean and spread (m,) of a statistic over frames (B, k, r) times spreads (m, ., .)."""
    step = max(1, CHUNK // frames.size)
    parts = []
    for first in range(0, len(spread), step):
        some = spread[first : first + step, None] * frames
        some = some.reshape(-1, *frames.shape[1:])
        if shape.null == "spectrum":
            some = nulls.unit_length(some)
        parts.append(shape.statistic(some).reshape(-1, len(frames)))
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
    source = {
        "haar": lambda n: nulls.haar(coordinates, n, rng),
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

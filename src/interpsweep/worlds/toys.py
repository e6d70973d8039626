"""Data of the small toy models: inputs whose optimal representation is known.

Sources: Elhage et al. 2022 (correlated and anticorrelated sets), Prieto et al. 2026 (bags of words
on a circle, BOWS), Engels et al. 2024 (features on a circle).
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from interpsweep.worlds.shapes import frame

Array = NDArray[np.float64]
Pairing = Literal["independent", "correlated", "anticorrelated"]


def pairs(kind: Pairing, count: int, p: float, rows: int, rng: np.random.Generator) -> Array:
    """Values U(0, 1) of `count` pairs of features (rows, 2 count); partners are 2 i and 2 i + 1.

    independent: every feature on with probability `p`; correlated: both of a pair or none;
    anticorrelated: a pair is on with probability `p`, and then exactly one of it.
    """
    shape = (rows, count)
    if kind == "independent":
        on = rng.random((rows, 2 * count)) < p
    elif kind == "correlated":
        on = np.repeat(rng.random(shape) < p, 2, axis=1)
    else:
        pair, first = rng.random(shape) < p, rng.random(shape) < 0.5
        on = np.stack([pair & first, pair & ~first], axis=2).reshape(rows, 2 * count)
    return on * rng.random((rows, 2 * count))


def bows(rows: int, words: int, rng: np.random.Generator, noise: float = 0.1) -> Array:
    """Bags of words on a circle (rows, words): word j stands at angle 2 pi j / words.

    A row has a latent angle; a word is present with probability
    sigmoid(5 cos(angle - its angle) - 2), and every entry gets Gaussian noise.
    """
    at = 2 * np.pi * np.arange(words) / words
    latent = rng.uniform(0, 2 * np.pi, (rows, 1))
    chance = 1 / (1 + np.exp(2 - 5 * np.cos(latent - at)))
    return (rng.random((rows, words)) < chance) + noise * rng.standard_normal((rows, words))


class Circle(NamedTuple):
    """Activations (rows, d) of a circle and sparse features, and the planted directions."""

    x: Array
    plane: Array  # (2, d) orthonormal
    others: Array  # (features, d) orthonormal


def circle(
    rows: int,
    rng: np.random.Generator,
    dim: int = 32,
    features: int = 12,
    p_circle: float = 0.3,
    p_feature: float = 0.05,
    days: int = 0,
) -> Circle:
    """A point of a circle, present with `p_circle`, plus orthogonal sparse features U(.5, 1.5).

    The point is uniform on the circle, or one of `days` evenly spaced ones if that is not 0.
    """
    basis = frame(dim, 2 + features, rng)
    angle = rng.uniform(0, 2 * np.pi, rows)
    if days:
        angle = np.floor(angle * days / (2 * np.pi)) * 2 * np.pi / days
    on = rng.random((rows, 1)) < p_circle
    x = on * np.column_stack([np.cos(angle), np.sin(angle)]) @ basis[:2]
    active = rng.random((rows, features)) < p_feature
    x += (active * rng.uniform(0.5, 1.5, (rows, features))) @ basis[2:]
    return Circle(x, basis[:2], basis[2:])


def one_hots(rows: int, sizes: list[int], p: float, rng: np.random.Generator) -> Array:
    """Codes (rows, sum(sizes)): in each block, with probability `p`, one entry U(.5, 1.5)."""
    parts = []
    for size in sizes:
        chosen = rng.integers(size, size=rows)
        value = rng.uniform(0.5, 1.5, rows) * (rng.random(rows) < p)
        parts.append(np.eye(size)[chosen] * value[:, None])
    return np.hstack(parts)

"""Intervals of means over seeds."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import t

LEVEL = 0.95


def half_width(sd: Any, seeds: Any) -> Any:
    """Half of the `LEVEL` interval (Student's t) of a mean over `seeds` values; NaN of one.

    `sd` is their standard deviation with ddof 1; both are numbers or series of one length.
    """
    more = np.maximum(seeds, 2)
    half = sd * t.ppf((1 + LEVEL) / 2, more - 1) / np.sqrt(more)
    return np.where(np.asarray(seeds) > 1, half, np.nan)


class Interval(NamedTuple):
    """Mean of the known values and the ends of its interval; no ends with fewer than two."""

    mean: float
    low: float
    high: float
    values: int


def interval(values: ArrayLike) -> Interval:
    """Mean of `values` (n,) with its interval; NaN among them are left out."""
    known = np.asarray(values, float)
    known = known[np.isfinite(known)]
    if not len(known):
        return Interval(np.nan, np.nan, np.nan, 0)
    mean = float(known.mean())
    half = float(half_width(known.std(ddof=1), len(known))) if len(known) > 1 else np.nan
    return Interval(mean, mean - half, mean + half, len(known))

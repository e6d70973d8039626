"""Intervals of means over seeds."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import t

LEVEL = 0.95


def half_width(sd: Any, seeds: Any) -> Any:
    """Half of the `LEVEL` interval (Student's t) of a mean over `seeds` values; NaN of one.

    `sd` is their standard deviation with ddof 1; both are numbers or series of one length.
    """
    more = np.maximum(seeds, 2)
    half = sd * t.ppf((1 + LEVEL) / 2, more - 1) / np.sqrt(more)
    return np.where(np.asarray(seeds) > 1, half, np.nan)

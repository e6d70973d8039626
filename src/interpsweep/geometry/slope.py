"""The slope of a dictionary's spectrum: how fast its variance falls from axis to axis.

After Li et al. 2024, "The Geometry of Concepts", section 5: eigenvalues of the covariance of the
decoder directions follow a power law over the middle ranks, steepest in middle layers.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import linregress, t

Array = NDArray[np.float64]
FIRST, LAST, FEWEST = 10, 150, 10  # ranks of the fit, and how many it needs


class Slope(NamedTuple):
    """Slope of log10 eigenvalue over log10 rank, its 95 % t interval, and the ranks used."""

    slope: float
    low: float
    high: float
    ranks: int


def fit(unit: Array) -> Slope:
    """Fit over ranks 10 to 150, or as far as there are eigenvalues above rounding; unit (n, d)."""
    centred = unit - unit.mean(axis=0)
    values = np.linalg.eigvalsh(centred.T @ centred / len(unit))[::-1]
    rank = np.arange(1, len(values) + 1)
    here = (rank >= FIRST) & (rank <= LAST) & (values > values[0] * 1e-10)
    count = int(here.sum())
    if count < FEWEST:
        return Slope(float("nan"), float("nan"), float("nan"), count)
    line = linregress(np.log10(rank[here]), np.log10(values[here]))
    reach = float(t.ppf(0.975, count - 2) * line.stderr)
    return Slope(float(line.slope), float(line.slope - reach), float(line.slope + reach), count)

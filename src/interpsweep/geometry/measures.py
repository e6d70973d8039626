"""One measure of a dictionary as a whole, beside what its null gives: `measures.parquet`."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Tail = Literal["upper", "lower", "both"]


class Measure(NamedTuple):
    """A statistic and its null distribution in numbers; columns of `measures.parquet`."""

    measure: str
    value: float
    null: str  # what the draws keep and destroy; docs/methods.md
    null_mean: float
    null_sd: float
    z: float
    p: float
    draws: int
    low: float  # 95 % interval of the value where there is one, else NaN
    high: float
    size: int  # how many latents, pairs or ranks it was taken over


def against(
    name: str,
    value: float,
    null: str,
    draws: NDArray[np.floating],
    size: int,
    tail: Tail = "upper",
    interval: tuple[float, float] = (np.nan, np.nan),
) -> Measure:
    """The measure with mean, spread, z and p = (1 + #{draw as extreme}) / (1 + #draws) of its null.

    With tail "both" a draw counts that is as far from the mean of the draws. A value that is not a
    number has no p: there was nothing to measure.
    """
    draws = np.asarray(draws, np.float64)
    mean, sd = (float(draws.mean()), float(draws.std())) if len(draws) else (np.nan, np.nan)
    if tail == "both":
        extreme = np.abs(draws - mean) >= abs(value - mean)
    else:
        extreme = draws >= value if tail == "upper" else draws <= value
    sound = bool(np.isfinite(value)) and len(draws) > 0
    p = (1 + int(extreme.sum())) / (1 + len(draws)) if sound else np.nan
    z = (value - mean) / sd if sound and sd > 0 else np.nan
    return Measure(name, float(value), null, mean, sd, z, p, len(draws), *interval, int(size))

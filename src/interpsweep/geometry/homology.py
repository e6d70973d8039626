"""Loops in an activation cloud: persistent homology with the universal null, circular
coordinates.

Bars of a Vietoris-Rips filtration whose ratio of death to birth is too large for noise (Bobrowski
and Skraba 2023, "A universal null-distribution for topological data analysis"): with
l = log log(death / birth) + B, B = -gamma - mean of log log(death / birth), p = exp(-exp(l)).
Circular coordinates: de Silva, Morozov and Vejdemo-Johansson 2011, "Persistent cohomology and
circular coordinates".
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from ripser import ripser
from scipy.sparse.linalg import lsqr
from scipy.spatial import cKDTree
from scipy.spatial.distance import pdist, squareform

Array = NDArray[np.float64]
POINTS = 200  # most landmarks of a filtration
LEAST = 30  # points below which the null is not calibrated
BARS = 5  # bars of one dimension below which it has no power
FIELD = 47  # coefficients of the cohomology
PART = 0.9  # of a bar, counted from its birth, at which circular coordinates are taken


class Loops(NamedTuple):
    """What persistent homology says of one cloud."""

    rows: NDArray[np.int64]  # (l,) landmarks
    births: Array  # (b,) of the bars in dimension one
    deaths: Array
    longest: float  # largest death / birth, NaN without bars
    p: float  # of the longest bar, times the number of bars (Bonferroni); NaN: no power
    power: str  # why there is no p, "" if there is
    angle: Array  # (l,) circular coordinate of the longest bar, NaN without one or with p = 1


def loops(points: NDArray[np.floating]) -> Loops:
    """Dimension-one homology of the directions of points (m, r) from the origin.

    Activations reach out from the origin in rays, along which any statistic would see structure;
    so lengths are removed. Landmarks are chosen by farthest-point sampling.
    """
    unit = directions(points)
    chosen = farthest(unit, POINTS)
    nothing = np.full(len(chosen), np.nan)
    none = Loops(chosen, np.zeros(0), np.zeros(0), np.nan, np.nan, "", nothing)
    if len(chosen) < LEAST:
        return none._replace(power=f"no power below {LEAST} points")
    distance = squareform(pdist(unit[chosen]))
    made = ripser(distance, maxdim=1, distance_matrix=True, coeff=FIELD, do_cocycles=True)
    births, deaths = made["dgms"][1].T.astype(np.float64)
    real, ratio, p = tested(births, deaths)
    if len(real) < BARS:
        return none._replace(births=births, deaths=deaths, power=f"no power below {BARS} bars")
    best = int(real[np.argmax(ratio)])
    angle = nothing
    if p < 1:
        angle = circular(distance, made["cocycles"][1][best], births[best], deaths[best])
    return Loops(chosen, births, deaths, float(ratio.max()), p, "", angle)


def tested(births: Array, deaths: Array) -> tuple[NDArray[np.int64], Array, float]:
    """Bars that begin after 0 and end, their death / birth, and p of the largest, times their
    number (Bonferroni; 1 without bars).
    """
    real = np.flatnonzero((births > 0) & np.isfinite(deaths) & (deaths > births))
    ratio = deaths[real] / births[real]
    smallest = float(universal_p(ratio).min()) if len(real) else 1.0
    return real, ratio, min(1.0, smallest * len(real))


def directions(points: NDArray[np.floating]) -> Array:
    """Points (m, r) on the unit sphere; a point at the origin stays there."""
    length = np.linalg.norm(points.astype(np.float64), axis=1, keepdims=True)
    return np.asarray(points / np.maximum(length, 1e-300))


def angles(points: NDArray[np.floating], known: NDArray[np.floating], angle: Array) -> Array:
    """Circular coordinate of points (m, r): that of the nearest landmark in `known` (l, r)."""
    nearest = np.argmax(directions(points) @ directions(known).T, axis=1)
    return angle[nearest]


def universal_p(ratio: Array) -> Array:
    """p of every bar's death / birth (b,) under the universal null of Rips filtrations."""
    values = np.log(np.maximum(np.log(ratio), 1e-300))
    return np.asarray(np.exp(-np.exp(values - np.euler_gamma - values.mean())))


def farthest(points: Array, most: int) -> NDArray[np.int64]:
    """Rows of a farthest-point sample, ascending; begins with the point nearest to the mean."""
    first = int(np.argmin(np.linalg.norm(points - points.mean(axis=0), axis=1)))
    chosen, gap = [first], np.linalg.norm(points - points[first], axis=1)
    while len(chosen) < min(most, len(points)) and gap.max() > 0:
        chosen.append(int(np.argmax(gap)))
        gap = np.minimum(gap, np.linalg.norm(points - points[chosen[-1]], axis=1))
    return np.sort(np.array(chosen, np.int64))


def circular(distance: Array, cocycle: Any, birth: float, death: float) -> Array:
    """Angle in [0, 2 pi) of every point (l,) from a cocycle of a bar, smoothed to be harmonic."""
    n, scale = len(distance), birth + PART * (death - birth)
    first, second = np.nonzero(np.triu(distance <= scale, 1))
    integer = np.zeros((n, n))
    for i, j, value in cocycle:
        signed = value if value <= FIELD // 2 else value - FIELD
        integer[i, j], integer[j, i] = signed, -signed
    edge = np.arange(len(first))
    difference = sp.csr_matrix(
        (np.r_[-np.ones(len(edge)), np.ones(len(edge))], (np.r_[edge, edge], np.r_[first, second])),
        (len(edge), n),
    )
    smooth = lsqr(difference, integer[first, second])[0]
    return np.asarray(2 * np.pi * np.mod(smooth, 1.0))


def two_nn(points: NDArray[np.floating]) -> float:
    """Intrinsic dimension by the ratio of each point's two nearest distances (Facco et al. 2017).

    The slope of -log(1 - F) against log(ratio) through 0, without the largest tenth; NaN below 20
    distinct points.
    """
    distinct = np.unique(points, axis=0)
    if len(distinct) < 20:
        return float("nan")
    near = cKDTree(distinct).query(distinct, k=3)[0][:, 1:]
    ratio = np.sort(np.log(near[:, 1] / np.maximum(near[:, 0], 1e-300)))
    kept = ratio[: int(0.9 * len(ratio))]
    empirical = -np.log(1 - np.arange(1, len(kept) + 1) / len(ratio))
    return float(kept @ empirical / max(kept @ kept, 1e-300))

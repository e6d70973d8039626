"""How well groups of pairs predict the squared distances of a point that is left out."""

from __future__ import annotations

import numpy as np

from interpsweep.compiled import compiled

Array = np.ndarray


@compiled
def errors(squared: Array, group: Array, instead: Array, rising: bool) -> tuple[float, float]:
    """Squared errors of the group means and of the mean of all pairs, over every left-out point.

    `squared` (k, k) are squared distances, `group` (k, k) the groups of pairs, `instead` (g,) the
    group to use for one without pairs (-1: the mean of all). If `rising`, group means are replaced
    by their isotonic regression, and those between by interpolation.
    """
    k, groups = len(squared), len(instead)
    total, count = np.zeros(groups), np.zeros(groups)
    for i in range(k):
        for j in range(i):
            total[group[i, j]] += squared[i, j]
            count[group[i, j]] += 1
    left, n, mean, filled = np.empty(groups), np.empty(groups), np.empty(groups), np.empty(groups)
    wrong = base = 0.0
    for i in range(k):
        left[:] = total
        n[:] = count
        for j in range(k):
            if j != i:
                left[group[i, j]] -= squared[i, j]
                n[group[i, j]] -= 1
        overall = left.sum() / n.sum()
        for g in range(groups):
            mean[g] = left[g] / n[g] if n[g] > 0 else np.nan
        if rising:
            _rise(mean, n)
        for g in range(groups):
            filled[g] = mean[g]
            if np.isnan(mean[g]):
                filled[g] = mean[instead[g]] if instead[g] >= 0 else overall
                if np.isnan(filled[g]):
                    filled[g] = overall
        for j in range(k):
            if j != i:
                wrong += (squared[i, j] - filled[group[i, j]]) ** 2
                base += (squared[i, j] - overall) ** 2
    return wrong, base


@compiled
def _rise(mean: Array, weight: Array) -> None:
    """Isotonic regression of the known values in place by pooling adjacent violators; unknown ones
    (NaN) are interpolated, beyond the ends they are the last known value.
    """
    places = np.flatnonzero(weight > 0)
    value, heavy = np.empty(len(places)), np.empty(len(places))
    until = np.empty(len(places), np.int64)
    blocks = 0
    for p in range(len(places)):
        value[blocks], heavy[blocks] = mean[places[p]], weight[places[p]]
        until[blocks] = p + 1
        blocks += 1
        while blocks > 1 and value[blocks - 2] >= value[blocks - 1]:
            both = heavy[blocks - 2] + heavy[blocks - 1]
            pooled = value[blocks - 2] * heavy[blocks - 2] + value[blocks - 1] * heavy[blocks - 1]
            value[blocks - 2], heavy[blocks - 2] = pooled / both, both
            until[blocks - 2] = until[blocks - 1]
            blocks -= 1
    first = 0
    for b in range(blocks):
        for p in range(first, until[b]):
            mean[places[p]] = value[b]
        first = until[b]
    if len(places):
        known = mean[places]
        for g in range(len(mean)):
            mean[g] = np.interp(float(g), places.astype(np.float64), known)

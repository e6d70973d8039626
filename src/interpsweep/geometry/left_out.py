"""How well groups of pairs predict the squared distances of a point that is left out."""

from __future__ import annotations

import numpy as np

from interpsweep.compiled import compiled, put

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
        put(left, total)
        put(n, count)
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
    groups = len(mean)
    places = np.empty(groups, np.int64)
    known = 0
    for g in range(groups):
        if weight[g] > 0:
            places[known] = g
            known += 1
    value, heavy = np.empty(known), np.empty(known)
    until = np.empty(known, np.int64)
    blocks = 0
    for p in range(known):
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
    if known == 0:
        return
    after = 0  # the first known place at or after g
    for g in range(groups):
        while after < known and places[after] < g:
            after += 1
        if after == known:
            mean[g] = mean[places[known - 1]]
        elif after == 0:
            mean[g] = mean[places[0]]
        elif places[after] > g:
            low, high = places[after - 1], places[after]
            mean[g] = mean[low] + (mean[high] - mean[low]) * (g - low) / (high - low)

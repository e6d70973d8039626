"""Association of two firing patterns from their counts (formulas: docs/methods.md, "pairwise
scores").
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln
from scipy.stats import norm

from interpsweep.saes.joint import jaccard, phi

Floats = NDArray[np.float64]
CONFIDENCE = 0.95  # one-sided level of lower bounds


def wilson_lower(hits: NDArray, trials: NDArray) -> Floats:
    """One-sided Wilson lower bound of a proportion; 0 where there was no trial."""
    z = norm.ppf(CONFIDENCE)
    n = np.maximum(np.asarray(trials, float), 1)
    p = np.asarray(hits, float) / n
    middle = p + z**2 / (2 * n)
    spread = z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    return np.where(np.asarray(trials) > 0, (middle - spread) / (1 + z**2 / n), 0.0)


def share(hits: NDArray, trials: NDArray) -> Floats:
    """hits / trials, 0 where there was no trial."""
    trials = np.asarray(trials, float)
    return np.where(trials > 0, np.asarray(hits, float) / np.where(trials > 0, trials, 1), 0.0)


def scores(n_ab: NDArray, n_a: NDArray, n_b: NDArray, rows: int) -> dict[str, Floats]:
    """Lift, NPMI, phi and Jaccard of firing counts over `rows` tokens.

    NPMI is -1 for pairs that never fire together; phi of a latent that always or never fires is 0.
    """
    n11, na, nb = (np.asarray(x, float) for x in (n_ab, n_a, n_b))
    expected = na * nb / rows
    lift = share(n11, expected)
    with np.errstate(divide="ignore", invalid="ignore"):
        npmi = np.where(n11 >= rows, 1.0, np.log(lift) / -np.log(np.where(n11 > 0, n11, 1) / rows))
    return {
        "lift": lift,
        "npmi": np.where(n11 > 0, npmi, -1.0),
        "phi": phi(n11, na, nb, rows),
        "jaccard": jaccard(n11, na, nb),
    }


def log_upper_tail(
    n_ab: NDArray, n_a: NDArray, n_b: NDArray, rows: int, effect: NDArray | float = 1.0
) -> Floats:
    """Natural log of P(X >= n_ab) for the hypergeometric X: overlap of random sets of n_a and n_b
    rows.

    Sums the tail on the short side of the mode by the ratio of neighbouring terms, so it is exact
    in log space where a p-value itself underflows. Rows that depend on each other count for less:
    all counts are divided by the design `effect` of the pair (`matching.dependence`).
    """
    k, a, b, n = np.broadcast_arrays(
        *(np.atleast_1d(np.asarray(x, float) / effect) for x in (n_ab, n_a, n_b, rows))
    )
    low = np.maximum(0.0, a + b - n)
    upper = k > (a + 1) * (b + 1) / (n + 2)  # above the mode: sum upwards
    start = np.where(upper, k, k - 1)
    terms = _relative_tail(start, a, b, n, np.where(upper, 1.0, -1.0))
    with np.errstate(divide="ignore"):
        log_tail = _log_probability(start, a, b, n) + np.log(terms)
        result = np.where(upper, log_tail, np.log1p(-np.minimum(np.exp(log_tail), 1.0)))
    return np.where(k <= low, 0.0, np.minimum(result, 0.0))


def _log_probability(k: Floats, a: Floats, b: Floats, rows: Floats) -> Floats:
    def choose(n: Floats, r: Floats) -> Floats:
        return gammaln(n + 1) - gammaln(r + 1) - gammaln(n - r + 1)

    inside = (k >= np.maximum(0.0, a + b - rows)) & (k <= np.minimum(a, b))
    safe = np.where(inside, k, np.maximum(0.0, a + b - rows))
    value = choose(a, safe) + choose(rows - a, b - safe) - choose(rows, b)
    return np.where(inside, value, -np.inf)


def _relative_tail(start: Floats, a: Floats, b: Floats, rows: Floats, step: Floats) -> Floats:
    """Sum over the tail from `start` in direction `step` of P(j) / P(start)."""
    total, term, j = np.ones_like(start), np.ones_like(start), start.copy()
    active = np.arange(len(start))
    while len(active):
        ja, aa, ba, up = j[active], a[active], b[active], step[active] > 0
        rest = rows[active] - aa - ba + ja
        rise_bottom = (ja + 1) * (rest + 1)
        # counts need not be whole: beyond the smaller set there is nothing
        rise_top = np.maximum(aa - ja, 0) * np.maximum(ba - ja, 0)
        rise = rise_top / np.where(rise_bottom > 0, rise_bottom, 1)
        fall_top = np.maximum(ja, 0) * np.maximum(rest, 0)
        fall_bottom = (aa - ja + 1) * (ba - ja + 1)
        fall = fall_top / np.where(fall_bottom > 0, fall_bottom, 1)
        term[active] *= np.maximum(np.where(up, rise, fall), 0.0)
        total[active] += term[active]
        j[active] += step[active]
        active = active[term[active] > 1e-17 * total[active]]
    return total

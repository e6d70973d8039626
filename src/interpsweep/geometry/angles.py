"""How much of a dictionary's angles its co-firing explains, and what exclusive latents do.

The geometry of features may say nothing beyond which features occur together (null N2 of
docs/methods.md). Cosines of pairs are predicted from their co-firing alone, out of sample.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor

from interpsweep.saes.joint import Joint, without_itself

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
MOST_PAIRS = 60_000  # pairs that one predictor learns from
FREQUENCY_BINS = 4


class Tested(NamedTuple):
    """A statistic, what it is on the draws of its null, and the pairs or latents behind it."""

    value: float
    null: Array  # (draws,)
    size: int


def explained(cosines: Array, cofiring: Joint, draws: int, rng: np.random.Generator) -> Tested:
    """Share of the variance of the cosines (n, n) of pairs that co-firing explains, out of sample.

    The predictors are phi, log lift and the two frequencies; the share is the squared correlation
    of prediction and cosine, with its sign.
    Latents are halved; a boosted regression learned on the pairs within one half predicts the pairs
    within the other, so no latent is on both sides. The null permutes the latents of the
    predictions within a half (Mantel test): it keeps the cosines and the predictions and breaks
    which pair has which.
    """
    order = rng.permutation(len(cosines))
    halves = order[: len(order) // 2], order[len(order) // 2 :]
    features = _features(cofiring)
    tested = []
    for learn, test in (halves, halves[::-1]):
        i, j = _pairs(len(learn), rng)
        model = HistGradientBoostingRegressor(max_iter=60, max_leaf_nodes=15, random_state=0)
        model.fit(features[:, learn[i], learn[j]].T, cosines[learn[i], learn[j]])
        a, b = np.triu_indices(len(test), 1)
        predicted = np.zeros((len(test), len(test)))
        predicted[a, b] = model.predict(features[:, test[a], test[b]].T)
        tested.append((cosines[np.ix_(test, test)], predicted + predicted.T))
    null = [
        _share([(known, _permuted(guess, rng)) for known, guess in tested]) for _ in range(draws)
    ]
    pairs = sum(len(known) * (len(known) - 1) // 2 for known, _ in tested)
    return Tested(_share(tested), np.array(null), pairs)


def _features(cofiring: Joint) -> Array:
    """(4, n, n): phi, log lift (with half a token added), smaller and larger log frequency."""
    rate = np.log((cofiring.first + 0.5) / cofiring.rows)
    lift = np.log((cofiring.both + 0.5) / cofiring.rows) - rate[:, None] - rate[None]
    smaller, larger = np.minimum(*np.meshgrid(rate, rate)), np.maximum(*np.meshgrid(rate, rate))
    return np.stack([without_itself(cofiring.phi()), lift, smaller, larger])


def _pairs(n: int, rng: np.random.Generator) -> tuple[Ints, Ints]:
    i, j = np.triu_indices(n, 1)
    if len(i) <= MOST_PAIRS:
        return i, j
    chosen = np.sort(rng.choice(len(i), MOST_PAIRS, replace=False))
    return i[chosen], j[chosen]


def _permuted(table: Array, rng: np.random.Generator) -> Array:
    order = rng.permutation(len(table))
    return table[np.ix_(order, order)]


def _share(tested: list[tuple[Array, Array]]) -> float:
    """Signed square of the correlation over the off-diagonal pairs of all halves."""
    known = np.concatenate([k[np.triu_indices(len(k), 1)] for k, _ in tested])
    guess = np.concatenate([g[np.triu_indices(len(g), 1)] for _, g in tested])
    spread = known.std() * guess.std()
    if spread <= 0:
        return 0.0
    r = float(np.mean((known - known.mean()) * (guess - guess.mean())) / spread)
    return r * abs(r)


# ---------------------------------------------------------------------------- exclusive latents


def frequency_bins(frequency: Array) -> Ints:
    """Quantile bin of every latent's firing frequency, (n,)."""
    edges = np.quantile(frequency, np.arange(1, FREQUENCY_BINS) / FREQUENCY_BINS)
    return np.digitize(frequency, edges)


def antipodal_exclusive(
    cosines: Array, phi: Array, frequency: Array, floor: float, draws: int, rng: np.random.Generator
) -> Tested:
    """Share of antipodal partners (each latent's lowest cosine, below `floor`) with phi < 0.

    The null draws the partner at random among latents of the same frequency bin.
    """
    partner = cosines.argmin(axis=1)
    here = np.flatnonzero(cosines.min(axis=1) < floor)
    if len(here) == 0:
        return Tested(float("nan"), np.zeros(0), 0)
    bins = frequency_bins(frequency)
    null = []
    for _ in range(draws):
        drawn = _within(bins, rng)[partner[here]]
        null.append(float(np.mean(phi[here, drawn] < 0)))
    return Tested(float(np.mean(phi[here, partner[here]] < 0)), np.array(null), len(here))


def shared_factor(
    factor: Ints, phi: Array, frequency: Array, draws: int, rng: np.random.Generator
) -> Tested:
    """Log odds that a pair with phi < 0 shares a tegum factor, against pairs with phi > 0.

    Mantel-Haenszel odds ratio over strata of pairs with the same two frequency bins; the null
    permutes the latents of phi within bins. NaN where no pair shares a factor, or all do.
    """
    i, j = np.triu_indices(len(factor), 1)
    same = (factor[i] == factor[j]) & (factor[i] >= 0)
    if not same.any() or same.all():
        return Tested(float("nan"), np.zeros(0), 0)
    bins = frequency_bins(frequency)
    stratum = FREQUENCY_BINS * np.minimum(bins[i], bins[j]) + np.maximum(bins[i], bins[j])

    def log_odds(order: Ints) -> float:
        sign = phi[order[i], order[j]]
        a = np.bincount(stratum, same & (sign < 0), FREQUENCY_BINS**2)
        b = np.bincount(stratum, ~same & (sign < 0), FREQUENCY_BINS**2)
        c = np.bincount(stratum, same & (sign > 0), FREQUENCY_BINS**2)
        d = np.bincount(stratum, ~same & (sign > 0), FREQUENCY_BINS**2)
        total = np.maximum(a + b + c + d, 1)
        return float(np.log((np.sum(a * d / total) + 0.5) / (np.sum(b * c / total) + 0.5)))

    null = [log_odds(_within(bins, rng)) for _ in range(draws)]
    return Tested(log_odds(np.arange(len(factor))), np.array(null), int(same.sum()))


def _within(bins: Ints, rng: np.random.Generator) -> Ints:
    """A permutation of the latents that keeps every one in its bin."""
    order = np.arange(len(bins))
    for value in np.unique(bins):
        here = np.flatnonzero(bins == value)
        order[here] = rng.permutation(here)
    return order

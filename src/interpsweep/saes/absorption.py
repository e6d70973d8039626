"""Absorption of a probed value, by what latents carry of the probe's projection.

Definitions of SAEBench (Karvonen et al. 2025, `evals/absorption`), which follow Chanin et al. 2024,
"A is for absorption": the latents that stand for a value (its *main* latents) are those whose
addition to a sparse probe gains held-out F1. Where the value is there and none of them fires, or
they carry less than the value's projection, other latents may have absorbed it. Projections are on
the unit probe, of activations without the decoder bias; latents' are activation (times the decoder
norm) times cosine.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression

from interpsweep.config.probes import ProbesSettings
from interpsweep.saes.encode import rank_within
from interpsweep.saes.linear import f1

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
SILENT = 1e-8  # activations below it are none


class Main(NamedTuple):
    """The main latents of a value, and the held-out F1 of the probe on the first and on all."""

    latents: Ints
    f1_first: float
    f1: float


class Absorbed(NamedTuple):
    """Of every token (m,) of a value."""

    full: Bools  # no main latent fires, and one other carries its projection
    fraction: Floats  # share of the projection that absorbers carry rather than main latents
    absorber: Ints  # the latent with the largest projection beside the main ones, -1 = none


def main_latents(codes: csr_matrix, true: Bools, test: Bools, s: ProbesSettings) -> Main:
    """Main latents of a value: `true` (n,) on codes (n, d_sae), judged on the rows `test`.

    Latents are ranked by the positive weights of an L1 probe, then taken one by one while the
    held-out F1 of a probe on them grows by more than `split_gain`. The first one always counts.
    """
    learn = ~test
    # latents in units of their own root mean square, so that the penalty asks the same of all
    size = np.sqrt(np.asarray(codes[learn].power(2).mean(axis=0), np.float64).ravel())
    scaled = codes.multiply(1 / np.maximum(size, 1e-12)).tocsr()
    ranking = LogisticRegression(
        l1_ratio=1, C=s.sparsity, solver="liblinear", class_weight="balanced", random_state=0
    ).fit(scaled[learn], true[learn])
    weight = ranking.coef_[0]
    order = np.argsort(-weight, kind="stable")[: s.most_main]
    order = order[: max(1, int(np.sum(weight[order] > 0)))]
    best = Main(order[:0], 0.0, -np.inf)
    for k in range(1, len(order) + 1):
        columns = np.asarray(codes[:, order[:k]].toarray(), np.float64) / size[order[:k]].max()
        probe = LogisticRegression(max_iter=500, class_weight="balanced")
        said = probe.fit(columns[learn], true[learn]).decision_function(columns[test]) > 0
        reached = f1(said, true[test])
        if k > 1 and reached <= best.f1 + s.split_gain:
            break
        best = Main(order[:k], reached if k == 1 else best.f1_first, reached)
    return best


def silent(codes: csr_matrix, main: Ints) -> Bools:
    """Tokens (m,) where no main latent fires: codes (m, d_sae)."""
    return np.asarray((codes[:, main] > SILENT).sum(axis=1)).ravel() == 0


def absorbed(
    codes: csr_matrix, x: Floats, decoder: Floats, probe: Floats, main: Ints, s: ProbesSettings
) -> Absorbed:
    """What is absorbed at tokens of a value: codes (m, d_sae), activations (m, d) without b_dec.

    `decoder` (d_sae, d) are unit rows, `probe` (d,) a unit direction.
    """
    cosine = decoder @ probe
    whole = x @ probe
    is_main = np.zeros(len(decoder), bool)
    is_main[main] = True
    entries = codes.tocoo()
    row, column = entries.row.astype(np.int64), entries.col.astype(np.int64)
    carried = entries.data * cosine[column]
    n, own = len(x), is_main[column]
    by_main = np.bincount(row[own], carried[own], n)

    row, column, carried = row[~own], column[~own], carried[~own]
    order = np.lexsort((column, -carried, row))
    row, column, carried = row[order], column[order], carried[order]
    first = rank_within(row) == 0
    top, absorber = np.zeros(n), np.full(n, -1)
    top[row[first]], absorber[row[first]] = carried[first], column[first]
    top_cosine = np.where(absorber >= 0, cosine[absorber], 0)
    enough = s.share * whole
    full = silent(codes, main) & (whole > 0) & (top >= enough) & (top_cosine >= s.top_cosine)

    able = (cosine[column] >= s.absorber_cosine) & (carried > 0)
    row, carried = row[able], carried[able]
    kept = rank_within(row) < s.absorbers
    by_absorbers = np.bincount(row[kept], carried[kept], n)
    # what the main latents leave of the projection is all that others can have absorbed
    part = np.minimum(by_absorbers, whole - by_main)
    shared = part / np.maximum(part + by_main, 1e-300)
    fraction = np.where(by_main <= 0, 1.0, shared)
    nothing = (whole <= 0) | (by_main >= whole) | (by_absorbers < enough)
    return Absorbed(full, np.where(nothing, 0.0, fraction), absorber)


class RandomConcepts(NamedTuple):
    """Linear concepts that nobody meant, each of them there on as many tokens as the others.

    They come in opposite pairs, the second half those of the first turned round.
    """

    directions: Floats  # (k, d) unit
    true: Bools  # (n, k) where each is

    def towards(self, x: Floats) -> Ints:
        """Of each pair the one along which activations without decoder bias (n, d) lie.

        The other would be there where hardly anything is.
        """
        half = len(self.directions) // 2
        ahead = self.directions[:half] @ x.mean(axis=0) >= 0
        return np.arange(half) + np.where(ahead, 0, half)

    def chosen(self, which: Ints) -> RandomConcepts:
        """Some of them."""
        return RandomConcepts(self.directions[which], self.true[:, which])


def random_concepts(
    x: Floats, test: Bools, share: float, draws: int, rng: np.random.Generator
) -> RandomConcepts:
    """Pairs of directions with the covariance of the activations `x` (n, d).

    A concept is there on the rows with the largest projection, of those not held out (`test`) on
    the `share`; on fewer, or on more, where many rows are the same, as embeddings of tokens are.
    """
    centred = x - x.mean(axis=0)
    directions = rng.standard_normal((draws, len(x))) @ centred
    directions /= np.maximum(np.linalg.norm(directions, axis=1, keepdims=True), 1e-300)
    directions = np.concatenate([directions, -directions])
    projection = x @ directions.T
    edge = np.quantile(projection[~test], 1 - share, axis=0)
    same = 1e-9 * np.abs(projection).max(axis=0)  # products of equal rows differ by rounding
    beyond = projection > edge + same
    some = beyond[~test].any(axis=0)
    return RandomConcepts(directions, np.where(some, beyond, projection >= edge - same))


class Chance(NamedTuple):
    """Absorption of random linear concepts, each (draws,): mean over the tokens where they are."""

    full: Floats
    fraction: Floats


def chance(
    codes: csr_matrix,
    x: Floats,
    decoder: Floats,
    concepts: RandomConcepts,
    main: list[Ints],
    s: ProbesSettings,
) -> Chance:
    """The same measures of random concepts, whose directions are treated as probes of a value.

    Each has latents of its own, `main`, as values have. A direction that no latent stands for is
    spread over many, none of which carries much.
    """
    found = []
    for direction, true, latents in zip(concepts.directions, concepts.true.T, main, strict=True):
        here = np.flatnonzero(true)
        one = absorbed(codes[here], x[here], decoder, direction, latents, s)
        found.append((one.full.mean(), one.fraction.mean()))
    return Chance(*np.array(found).T)

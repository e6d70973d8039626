"""The best latent of every value of the labelled concepts, in one SAE."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from interpsweep.errors import UserError
from interpsweep.saes.firing import exceeding, firings

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Held:
    """Of one concept, per value (k,): labelled tokens, best latent by F1, and its scores."""

    count: Ints
    latent: Ints
    threshold: Floats  # activation above which the latent counts as on
    f1: Floats
    precision: Floats
    recall: Floats


class Holding(NamedTuple):
    """Of one SAE: the best latents of every concept, and how concepts share out its latents.

    Per concept and latent, (d_sae,): `share` of the latent's firings on labelled tokens, and
    `rate`, the share of labelled tokens on which it fires.
    """

    concepts: dict[str, Held]
    share: dict[str, Floats]
    rate: dict[str, Floats]


def row_labels(corpus: Any, codes: Any) -> dict[str, NDArray[np.int16]]:
    """Label of every encoded row for every concept."""
    flat = codes.token(0, codes.n_rows)
    if flat.max(initial=0) >= corpus.n_tokens:
        raise UserError(
            f"{corpus.path}: the codes reach token {flat.max()}, but the corpus has "
            f"{corpus.n_tokens}; they do not belong together: have the codes made again"
        )
    return {name: corpus.label(name)[flat] for name in corpus.concepts}


def hold(
    codes: Any,
    labels: dict[str, NDArray[np.int16]],
    sizes: dict[str, int],
    levels: tuple[float, ...],
    ctx: Any,
) -> Holding:
    """Best latents by F1 = 2 tp / (labelled + on), for every concept, in one pass.

    A latent is on where its activation exceeds a threshold; thresholds are the given `levels`
    times its largest activation, and the best one counts. Latents of TopK SAEs fire faintly on
    many tokens, which says nothing about what their strong activations stand for.
    """
    most = codes.peaks
    thresholds = np.outer(levels, most)  # (levels, d_sae)
    work = partial(_hits, codes=codes, labels=labels, sizes=sizes, thresholds=thresholds)
    on = np.zeros(thresholds.shape)
    hits = {name: np.zeros((k, *thresholds.shape)) for name, k in sizes.items()}
    for block_on, block_hits in ctx.block_map(work, list(codes.chunks()), "concept latents"):
        on += block_on
        for name, new in block_hits.items():
            hits[name] += new
    concepts = {
        name: _best(
            hits[name], on, np.bincount(label[label >= 0], minlength=sizes[name]), most, levels
        )
        for name, label in labels.items()
    }
    fired = {name: h[:, 0].sum(axis=0) for name, h in hits.items()}  # at the lowest level
    share = {name: n / np.maximum(on[0], 1) for name, n in fired.items()}
    rate = {name: n / max(concepts[name].count.sum(), 1) for name, n in fired.items()}
    return Holding(concepts, share, rate)


def _hits(
    chunk: tuple[int, int],
    codes: Any,
    labels: dict[str, Any],
    sizes: dict[str, int],
    thresholds: Floats,
) -> tuple[Floats, dict[str, Floats]]:
    block = sp.csr_matrix(codes.read(*chunk))
    values = {name: _one_hot(labels[name][chunk[0] : chunk[1]], k) for name, k in sizes.items()}
    on, made = [], {name: [] for name in sizes}  # type: ignore[var-annotated]
    for threshold in thresholds:
        above = firings(exceeding(block, threshold))
        on.append(np.asarray(above.sum(axis=0), np.float64).ravel())
        for name, one_hot in values.items():
            made[name].append((one_hot @ above).toarray().astype(np.float64))
    return np.array(on), {name: np.stack(parts, axis=1) for name, parts in made.items()}


def _one_hot(label: NDArray[np.int16], k: int) -> sp.csr_matrix:
    here = np.flatnonzero(label >= 0)
    return sp.csr_matrix((np.ones(len(here), np.float32), (label[here], here)), (k, len(label)))


def _best(hits: Floats, on: Floats, count: Ints, most: Floats, levels: tuple[float, ...]) -> Held:
    """The best (level, latent) of every value from hits (k, levels, d_sae)."""
    f1 = 2 * hits / np.maximum(count[:, None, None] + on, 1)
    flat = np.argmax(f1.reshape(len(count), -1), axis=1)
    level, latent = np.unravel_index(flat, on.shape)
    at = np.arange(len(count))
    tp = hits[at, level, latent]
    return Held(
        count=count.astype(np.int64),
        latent=latent.astype(np.int64),
        threshold=np.asarray(levels)[level] * most[latent],
        f1=f1[at, level, latent],
        precision=tp / np.maximum(on[level, latent], 1),
        recall=tp / np.maximum(count, 1),
    )

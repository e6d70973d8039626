"""What one SAE holds of the labelled concepts: the best latent of every value, and who fires with
whom.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from interpsweep.errors import UserError
from interpsweep.matching.coactivation import firings

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Held:
    """Of one concept, per value (k,): labelled tokens, best latent by F1, and its scores."""

    count: Ints
    latent: Ints
    f1: Floats
    precision: Floats
    recall: Floats


class Holding(NamedTuple):
    """Of one SAE: the best latents of every concept, and how concepts share out its latents."""

    concepts: dict[str, Held]
    share: dict[str, Floats]  # per concept, the share of each latent's firings on labelled tokens


def row_labels(corpus: Any, rows: tuple[int, int]) -> dict[str, NDArray[np.int16]]:
    """Label of every encoded row for every concept.

    Rows of activations are the corpus's tokens without its marks, in order; `rows` are those
    encoded.
    """
    kept = np.flatnonzero(np.asarray(corpus.special) == 0)
    if rows[1] > len(kept):
        raise UserError(
            f"{corpus.path}: the codes reach row {rows[1]}, but the corpus has {len(kept)} tokens; "
            "they do not belong together: have the codes made again"
        )
    flat = kept[rows[0] : rows[1]]
    return {name: corpus.label(name)[flat] for name in corpus.concepts}


def hold(
    codes: Any, labels: dict[str, NDArray[np.int16]], sizes: dict[str, int], ctx: Any
) -> Holding:
    """Best latents by F1 = 2 tp / (labelled + fired), for every concept, in one pass."""
    work = partial(_hits, codes=codes, labels=labels, sizes=sizes)
    fired = np.zeros(codes.d_sae)
    hits = {name: np.zeros((k, codes.d_sae)) for name, k in sizes.items()}
    for block_fired, block_hits in ctx.block_map(work, list(codes.chunks()), "concept latents"):
        fired += block_fired
        for name, new in block_hits.items():
            hits[name] += new
    concepts = {
        name: _best(hits[name], fired, np.bincount(label[label >= 0], minlength=sizes[name]))
        for name, label in labels.items()
    }
    share = {name: h.sum(axis=0) / np.maximum(fired, 1) for name, h in hits.items()}
    return Holding(concepts, share)


def _hits(
    chunk: tuple[int, int], codes: Any, labels: dict[str, Any], sizes: dict[str, int]
) -> tuple[Floats, dict[str, Floats]]:
    fired = firings(codes.read(*chunk))
    made = {}
    for name, k in sizes.items():
        label = labels[name][chunk[0] : chunk[1]]
        table = np.zeros((k, codes.d_sae))
        for value in range(k):
            here = np.flatnonzero(label == value)
            if len(here):
                table[value] = np.asarray(fired[here].sum(axis=0)).ravel()
        made[name] = table
    return np.asarray(fired.sum(axis=0), np.float64).ravel(), made


def _best(hits: Floats, fired: Floats, count: Ints) -> Held:
    f1 = 2 * hits / np.maximum(count[:, None] + fired, 1)
    latent = np.argmax(f1, axis=1)
    at = np.arange(len(count))
    return Held(
        count=count.astype(np.int64),
        latent=latent.astype(np.int64),
        f1=f1[at, latent],
        precision=hits[at, latent] / np.maximum(fired[latent], 1),
        recall=hits[at, latent] / np.maximum(count, 1),
    )


def cofiring(codes: Any, latents: Ints, ctx: Any) -> Floats:
    """P(row latent fires | column latent fires) among some latents, (m, m)."""
    total = np.zeros((len(latents), len(latents)))
    for part in ctx.block_map(
        partial(_joint, codes=codes, latents=latents), list(codes.chunks()), "co-firing"
    ):
        total += part
    return total / np.maximum(np.diag(total), 1)


def _joint(chunk: tuple[int, int], codes: Any, latents: Ints) -> Floats:
    fired = firings(codes.read(*chunk))[:, latents].astype(np.float64)
    return np.asarray((fired.T @ fired).todense())

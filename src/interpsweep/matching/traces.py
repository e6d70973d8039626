"""What absorption and hedging leave in the weights of the dictionaries."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from interpsweep.matching.edges import Level

SUBSPACES = 50  # random sets of latents that hedging is compared with
CHILDREN = ("absorption", "split", "specialisation")
Floats = NDArray[np.float64]


def encoder_signature(i: NDArray[np.int64], w: NDArray[np.int64], wide: Level) -> Floats:
    """Cosine of the encoder row of a match i with what w's direction adds to i's, per pair.

    A latent whose firings were absorbed by w has an encoder that keeps it silent where w fires:
    cos(e_i, d_w - (d_w . d_i) d_i) < 0 (-.71 for one child of its parent's size). NaN for
    transcoders, whose encoder reads other activations than the decoder writes.
    """
    if wide.encoder is None:
        return np.full(len(i), np.nan)
    match, child = wide.decoder[i].astype(float), wide.decoder[w].astype(float)
    own = child - np.einsum("ij,ij->i", child, match)[:, None] * match
    length = np.maximum(np.linalg.norm(own, axis=1), 1e-12)
    return np.einsum("ij,ij->i", wide.encoder[i], own) / length


def signature_null(edges: pd.DataFrame, wide: Level) -> float | None:
    """Mean `encoder_signature` of the matches of absorbed latents with all wide latents that are
    not their children; None without absorption, and for transcoders.
    """
    if wide.encoder is None:
        return None
    absorbed = edges[edges["type"].eq("absorption") & (edges["match"] >= 0)]
    live = np.flatnonzero(wide.count > 0)
    found = []
    for match, mine in absorbed.groupby("match"):
        others = np.setdiff1d(live, [*mine["w"], match])
        found.append(encoder_signature(np.full(len(others), match), others, wide))
    pooled = np.concatenate(found) if found else np.zeros(0)
    return float(pooled.mean()) if len(pooled) else None


def hedging(edges: pd.DataFrame, narrow: Level, wide: Level, seed: int) -> tuple[Floats, Floats]:
    """Per narrow latent with a match and children: how far its direction leans into what its
    children add to the match, and the same for random latents in their place; NaN for others.

    P projects on the span of d_w - (d_w . d_i) d_i over children w; the value is |P d_n|. After
    Chanin et al. (arXiv 2505.11756), who train the narrow SAE on instead and subtract and divide
    by the same baseline: (|P d_n| - baseline) / (1 - baseline).
    """
    leaning, baseline = np.full((2, len(narrow.count)), np.nan)
    children = edges[edges["primary"] & edges["type"].isin(CHILDREN) & (edges["match"] >= 0)]
    live = np.flatnonzero(wide.count > 0)
    for n, mine in children.groupby("n"):
        match = int(mine["match"].iloc[0])
        w = np.setdiff1d(mine["w"], [match])
        others = np.setdiff1d(live, [match])
        if not len(w) or len(others) <= len(w):
            continue
        rng = np.random.default_rng([seed, int(n)])
        direction = narrow.decoder[int(n)].astype(float)
        leaning[int(n)] = _within(direction, match, w, wide)
        draws = (rng.choice(others, len(w), replace=False) for _ in range(SUBSPACES))
        baseline[int(n)] = np.mean([_within(direction, match, draw, wide) for draw in draws])
    return leaning, baseline


def _within(direction: Floats, match: int, w: NDArray[np.int64], wide: Level) -> float:
    """Length of the part of a unit `direction` in the span of what latents w add to the match."""
    base = wide.decoder[match].astype(float)
    own = wide.decoder[w].astype(float)
    own -= np.outer(own @ base, base)
    left, sizes, _ = np.linalg.svd(own.T, full_matrices=False)
    return float(np.linalg.norm(left[:, sizes > 1e-6].T @ direction))

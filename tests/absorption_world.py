"""A world whose absorption is planted: activations, and codes written as an SAE would."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_matrix

from interpsweep.config.probes import ProbesSettings
from interpsweep.saes.linear import Probes, f1, one_vs_rest

D, ROWS, CHILDREN, OTHERS = 320, 5000, 4, 300
FEATURES = CHILDREN + 1 + OTHERS
S = ProbesSettings()


class World(NamedTuple):
    """A parent that is there on a fifth of the rows, with children on two fifths of those."""

    x: np.ndarray
    parent: np.ndarray  # bool
    child: np.ndarray  # -1 = none
    decoder: np.ndarray
    codes: csr_matrix
    test: np.ndarray


def world(absorbs: bool) -> World:
    """Latents 0..3 the children, 4 the parent, others unrelated features.

    With absorption a child's latent points along child plus parent and the parent's is silent
    beside it; without, both fire along their own directions.
    """
    rng = np.random.default_rng(0)
    axes = np.linalg.qr(rng.standard_normal((D, D)))[0]
    parent = rng.random(ROWS) < 0.2
    child = np.where(parent & (rng.random(ROWS) < 0.4), rng.integers(0, CHILDREN, ROWS), -1)
    others = rng.random((ROWS, OTHERS)) < 0.08
    size = 1 + 0.1 * rng.standard_normal((ROWS, FEATURES))
    truth = np.column_stack([*(child == c for c in range(CHILDREN)), parent, others]) * size
    x = truth @ axes[:FEATURES] + 0.02 * rng.standard_normal((ROWS, D))
    decoder, codes = axes[:FEATURES].copy(), truth.copy()
    if absorbs:
        both = decoder[:CHILDREN] + decoder[CHILDREN]
        decoder[:CHILDREN] = both / np.sqrt(2)
        codes[:, :CHILDREN] = np.sqrt(2) * truth[:, :CHILDREN]
        codes[child >= 0, CHILDREN] = 0
    test = np.arange(ROWS) % 5 == 0
    return World(x, parent, child, decoder, csr_matrix(codes.astype(np.float32)), test)


def probes_of(w: World) -> Probes:
    """The probe of the parent."""
    probes = one_vs_rest(w.x[~w.test], w.parent[~w.test, None], S.ridge)
    assert f1(probes.of(0, w.x[w.test]) > 0, w.parent[w.test]) > 0.98
    return probes

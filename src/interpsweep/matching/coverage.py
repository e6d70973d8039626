"""How much of a narrow latent's firing its children on the next level account for."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from interpsweep.matching.association import share
from interpsweep.saes.firing import BlockMap, CodeReader, firings

Counts = NDArray[np.float64]


class Children(NamedTuple):
    """Child sets of every narrow latent, each a 0/1 matrix (n_wide, n_narrow)."""

    split: sp.csr_matrix
    absorbing: sp.csr_matrix
    match: sp.csr_matrix  # at most one entry per column: the latent that survives as n


class Coverage(NamedTuple):
    """Per narrow latent, shares of its firings (n_narrow,); see docs/tables.md."""

    split: Counts  # by splits
    hole_rate: Counts
    absorption_rate: Counts


def membership(wide: NDArray, narrow: NDArray, shape: tuple[int, int]) -> sp.csr_matrix:
    """The 0/1 matrix of child sets from pairs (w, n)."""
    return sp.csr_matrix((np.ones(len(wide), np.float32), (wide, narrow)), shape)


def measure(
    narrow: CodeReader, wide: CodeReader, children: Children, counts: NDArray, block_map: BlockMap
) -> Coverage:
    """What children account for, of all narrow latents, in one pass over the codes."""
    work = partial(_block, narrow=narrow, wide=wide, children=children)
    total = sum(block_map(work, list(narrow.chunks()), "coverage"))
    split, kept, filled = np.asarray(total)
    has_match = np.asarray(children.match.sum(axis=0)).ravel() > 0
    return Coverage(
        split=share(split, counts),
        hole_rate=np.where(has_match, 1 - share(kept, counts), np.nan),
        absorption_rate=np.where(has_match, share(filled, counts), np.nan),
    )


def _block(chunk: tuple[int, int], narrow: Any, wide: Any, children: Children) -> Counts:
    fired, fired_wide = firings(narrow.read(*chunk)), firings(wide.read(*chunk))
    kept = (fired_wide @ children.match).multiply(fired).tocsr()
    filled = (fired_wide @ children.absorbing).multiply(fired).tocsr()
    in_holes = filled.sign() - filled.sign().multiply(kept.sign())
    split = (fired_wide @ children.split).multiply(fired).sign()
    parts = (split, kept.sign(), in_holes)
    return np.array([np.asarray(part.sum(axis=0), np.float64).ravel() for part in parts])

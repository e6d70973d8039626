"""When a latent counts as firing: above a share of its largest activation. No torch.

An SAE with a fixed k fires k latents on every token, many of them at a few percent of what they
reach elsewhere. Such firings say little about what a latent stands for but fill every count, so
matches, firing profiles and labelled concepts count firings above a level. The level is part of
the definition of whatever is counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
BlockMap = Callable[[Callable, Iterable, str], Iterator]


class CodeReader(Protocol):
    """The part of `saes.codes.Codes` that matching needs."""

    @property
    def n_rows(self) -> int:
        """Number of encoded rows."""

    @property
    def d_sae(self) -> int:
        """Number of latents."""

    def read(self, start: int, stop: int) -> sp.csr_matrix:
        """Codes (stop - start, d_sae) of rows [start, stop)."""

    def chunks(self) -> Iterable[tuple[int, int]]:
        """Pieces [start, stop) that cover all rows."""


@dataclass(frozen=True)
class _Over:
    """The rows of `codes`, of which a subclass reads a part of the entries."""

    codes: Any  # reader of all activations

    @property
    def n_rows(self) -> int:
        """Number of encoded rows."""
        return int(self.codes.n_rows)

    @property
    def rows(self) -> tuple[int, int]:
        """Rows of the activations that are encoded."""
        return self.codes.rows

    def chunks(self) -> Iterable[tuple[int, int]]:
        """Pieces [start, stop) that cover all rows."""
        return self.codes.chunks()

    def token(self, start: int, stop: int) -> Ints:
        """Flat indices into the corpus of the tokens of rows [start, stop)."""
        return np.asarray(self.codes.token(start, stop))


@dataclass(frozen=True)
class Leading(_Over):
    """The first `d_sae` latents of an SAE, behind the interface of its codes."""

    d_sae: int

    @property
    def peaks(self) -> Floats:
        """Largest activation of each of these latents, (d_sae,)."""
        return np.asarray(self.codes.peaks[: self.d_sae])

    def read(self, start: int, stop: int) -> sp.csr_matrix:
        """Codes (stop - start, d_sae) of rows [start, stop)."""
        return sp.csr_matrix(self.codes.read(start, stop)[:, : self.d_sae])


@dataclass(frozen=True)
class Some:
    """Some rows of codes, behind the interface of all: those that another SAE has as well."""

    codes: Any  # reader of all rows
    d_sae: int
    place: Ints  # (n,) of the rows, ascending
    rows: tuple[int, int]  # which they are of all rows that both have

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self.place)

    @property
    def peaks(self) -> Floats:
        """Largest activation of each latent on all rows, (d_sae,): a level has one meaning."""
        return np.asarray(self.codes.peaks)

    def chunks(self) -> Iterable[tuple[int, int]]:
        """Pieces [start, stop) that cover them."""
        edges = np.searchsorted(self.place, [*(start for start, _ in self.codes.chunks())])
        return [(int(a), int(b)) for a, b in pairwise([*edges, len(self.place)]) if a < b]

    def read(self, start: int, stop: int) -> sp.csr_matrix:
        """Codes (stop - start, d_sae) of rows [start, stop)."""
        mine = self.place[start:stop]
        first = int(mine[0])
        return sp.csr_matrix(self.codes.read(first, int(mine[-1]) + 1)[mine - first])


@dataclass(frozen=True)
class Firing(_Over):
    """Codes reduced to firings: `read` drops what does not exceed a latent's `floor` (d_sae,)."""

    floor: Floats

    @classmethod
    def above(cls, codes: Any, level: float) -> Firing:
        """Firings above `level` times the largest activation of every latent; 0 keeps all."""
        return cls(codes, level * codes.peaks)

    @property
    def d_sae(self) -> int:
        """Number of latents."""
        return int(self.codes.d_sae)

    def read(self, start: int, stop: int) -> sp.csr_matrix:
        """Codes (stop - start, d_sae) of rows [start, stop) that exceed their floor."""
        return exceeding(self.codes.read(start, stop), self.floor)


def exceeding(block: sp.spmatrix, floor: Floats) -> sp.csr_matrix:
    """The entries of `block` (n, d_sae) above their latent's `floor` (d_sae,); others dropped."""
    kept = sp.csr_matrix(block, copy=True)
    kept.data = np.where(kept.data > floor[kept.indices], kept.data, 0)
    kept.eliminate_zeros()
    return kept


def firings(codes: sp.spmatrix) -> sp.csr_matrix:
    """1 where a latent fires, float32 (exact up to 2**24 rows of one chunk)."""
    fired = sp.csr_matrix(codes, copy=True)
    fired.eliminate_zeros()
    fired.data = np.ones_like(fired.data, dtype=np.float32)
    return fired


def firing_statistics(codes: CodeReader, block_map: BlockMap) -> tuple[Ints, Floats]:
    """Firing count and mean activation when firing of every latent."""
    counts, sums = np.zeros(codes.d_sae, np.int64), np.zeros(codes.d_sae)
    for count, total in block_map(
        partial(_firing_block, codes=codes), list(codes.chunks()), "firings"
    ):
        counts += count
        sums += total
    return counts, sums / np.maximum(counts, 1)


def _firing_block(chunk: tuple[int, int], codes: CodeReader) -> tuple[Ints, Floats]:
    block = sp.csr_matrix(codes.read(*chunk))
    block.eliminate_zeros()
    count = np.bincount(block.indices, minlength=block.shape[1]).astype(np.int64)
    total = np.bincount(block.indices, block.data, block.shape[1]).astype(np.float64)
    return count, total

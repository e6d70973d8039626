"""Firings of a dictionary by row and by latent, in files that workers share.

Every row lists the latents that fire on it, every latent the rows on which it fires. Both lie in
memory-mapped files of a scratch folder: nothing grows with the product of two widths, and every
worker of a block-map reads the same pages.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from interpsweep.compiled import compiled, put
from interpsweep.saes.firing import Firing

Ints = NDArray[np.int64]
BLOCK_FIRINGS = 1 << 21  # firings of the latents of one block


@dataclass(frozen=True)
class Postings:
    """Where the firings of one dictionary lie; small and picklable.

    ``latents`` uint32 (nnz,): the latents of row t at ``by_row[t]:by_row[t + 1]``, ascending;
    ``rows`` uint32 (nnz,): the rows of latent i at ``by_latent[i]:by_latent[i + 1]``, ascending.
    """

    folder: Path

    @cached_property
    def by_row(self) -> Ints:
        """int64 (n_rows + 1,)."""
        return self._mapped("by_row")

    @cached_property
    def by_latent(self) -> Ints:
        """int64 (d_sae + 1,)."""
        return np.load(self.folder / "by_latent.npy")

    @cached_property
    def latents(self) -> NDArray[np.uint32]:
        """Latents in the order of rows."""
        return self._mapped("latents")

    @cached_property
    def rows(self) -> NDArray[np.uint32]:
        """Rows in the order of latents."""
        return self._mapped("rows")

    def _mapped(self, name: str) -> np.ndarray:
        return np.asarray(np.load(self.folder / f"{name}.npy", mmap_mode="r"))

    @property
    def counts(self) -> Ints:
        """Firings of every latent, (d_sae,)."""
        return np.diff(self.by_latent)

    def __getstate__(self) -> dict[str, Path]:
        return {"folder": self.folder}  # workers map the files themselves

    @classmethod
    def write(cls, codes: Firing, counts: Ints, folder: Path) -> Postings:
        """Lay out all firings of `codes` under `folder`; `counts` (d_sae,) are known already."""
        folder.mkdir(parents=True, exist_ok=True)
        total = int(counts.sum())
        by_latent = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        latents, rows = (_file(folder / f"{n}.npy", total, "uint32") for n in ("latents", "rows"))
        by_row = _file(folder / "by_row.npy", codes.n_rows + 1, "int64")
        free, filled = by_latent[:-1].copy(), 0
        by_row[0] = 0
        for start, stop in codes.chunks():
            block = sp.csr_matrix(codes.read(start, stop))
            latents[filled : filled + block.nnz] = block.indices
            by_row[start + 1 : stop + 1] = filled + block.indptr[1:]
            filled += block.nnz
            by_column = block.tocsc()
            lengths = np.diff(by_column.indptr)
            place = np.repeat(free - by_column.indptr[:-1], lengths) + np.arange(block.nnz)
            rows[place] = by_column.indices + start
            free += lengths
        np.save(folder / "by_latent.npy", by_latent)
        for made in (latents, rows, by_row):
            made.flush()
        return cls(folder)


def _file(path: Path, length: int, dtype: str) -> np.memmap:
    # a mapped file cannot be empty
    return np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=(max(length, 1),))


def blocks_of(counts: Ints) -> list[tuple[int, int]]:
    """Ranges of latents that together fire about `BLOCK_FIRINGS` times."""
    last = np.cumsum(counts) // BLOCK_FIRINGS
    cuts = [0, *(np.flatnonzero(np.diff(last)) + 1).tolist(), len(counts)]
    return [(start, stop) for start, stop in pairwise(cuts) if start < stop]


@compiled
def fired_with(
    rows: NDArray[np.uint32],
    by_row: Ints,
    latents: NDArray[np.uint32],
    last: int,
    together: Ints,
    touched: Ints,
) -> int:
    """Count in `together`, which is all zeros, on how many of the `rows` each latent up to `last`
    fires; says how many do at all and lists them first in `touched`, unordered.
    """
    seen = 0
    for row in rows:
        for f in range(by_row[row], by_row[row + 1]):
            a = latents[f]
            if a > last:  # latents of a row ascend
                break
            if together[a] == 0:
                touched[seen] = a
                seen += 1
            together[a] += 1
    return seen


@compiled
def with_room(out: Ints, made: int, more: int) -> Ints:
    """`out` (columns, n), or a wider copy if `more` rows do not fit beside those `made`."""
    if made + more <= out.shape[1]:
        return out
    wider = np.empty((len(out), max(2 * out.shape[1], made + more)), np.int64)
    for row in range(len(out)):
        put(wider[row, :made], out[row, :made])
    return wider

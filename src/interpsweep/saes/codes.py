"""Stored codes: which latents fire on which rows of the analysis split, and how strongly. No torch.

``codes.zarr`` (attributes ``layout``, ``d_sae`` and ``rows``: the rows [first, last) of the
activations that are encoded), in chunks of whole blocks of rows:

* layout ``fixed``: ``indices`` uint32 (N, k) and ``values`` float32 (N, k), latents ascending;
  places with value 0 are empty;
* layout ``csr``: ``indptr`` int64 (N + 1,), ``indices`` uint32 (nnz,), ``values`` float32 (nnz,);
* with both, ``token`` int64 (N,): the flat index into the corpus of each row's token.

Values are activations times the norm of the latent's decoder row, so they do not depend on how an
SAE divides a latent's size between encoder and decoder.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import zarr
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from zarr.codecs import Crc32cCodec

from interpsweep.arrays import array_in, read
from interpsweep.errors import UserError
from interpsweep.tables import read_parquet

CODES, LATENTS, CONTEXTS = "codes.zarr", "latents.parquet", "contexts.parquet"
BLOCK_ROWS = 8192  # rows encoded, written and read at once
CSR_CHUNK = 1 << 20  # entries in a chunk of the csr layout


@dataclass(frozen=True)
class Codes:
    """The codes of one SAE. Row i of them is row ``rows[0] + i`` of the activations in use."""

    path: Path

    @classmethod
    def open(cls, path: Path | str) -> Codes:
        """Open an artifact folder. Raises UserError if there are no codes in it."""
        codes = cls(Path(path))
        try:
            codes._attribute("layout")
        except (FileNotFoundError, KeyError) as error:
            raise UserError(f"{path}: no readable codes here ({error})") from None
        return codes

    @property
    def n_rows(self) -> int:
        """Number of encoded rows."""
        return self.rows[1] - self.rows[0]

    @cached_property
    def d_sae(self) -> int:
        """Number of latents."""
        return int(self._attribute("d_sae"))

    @cached_property
    def rows(self) -> tuple[int, int]:
        """Rows [first, last) of the activations that are encoded."""
        first, last = self._attribute("rows")
        return int(first), int(last)

    @property
    def layout(self) -> str:
        """How the codes lie on disk: fixed or csr."""
        return str(self._attribute("layout"))

    def chunks(self) -> list[tuple[int, int]]:
        """Pieces [start, stop) of rows that cover the codes, each fast to read."""
        edges = range(0, self.n_rows, BLOCK_ROWS)
        return [(edge, min(edge + BLOCK_ROWS, self.n_rows)) for edge in edges]

    def read(self, start: int, stop: int) -> csr_matrix:
        """Codes (stop - start, d_sae) float32 of rows [start, stop), without stored zeros."""
        shape = (stop - start, self.d_sae)
        if self.layout == "fixed":
            values, columns = self._read("values", start, stop), self._read("indices", start, stop)
            kept = values > 0
            indptr = np.concatenate([[0], np.cumsum(kept.sum(axis=1))])
            return csr_matrix((values[kept], columns[kept].astype(np.int32), indptr), shape=shape)
        indptr = self._indptr[start : stop + 1]
        first, last = int(indptr[0]), int(indptr[-1])
        columns = self._read("indices", first, last).astype(np.int32)
        values = self._read("values", first, last)
        return csr_matrix((values, columns, indptr - first), shape=shape)

    def token(self, start: int, stop: int) -> np.ndarray:
        """Flat indices into the corpus, int64 ascending, of the tokens of rows [start, stop)."""
        return self._read("token", start, stop)

    @cached_property
    def latents(self) -> pd.DataFrame:
        """Statistics of every latent; see `saes.encode`."""
        return read_parquet(self.path / LATENTS)

    @property
    def count(self) -> NDArray[np.int64]:
        """Encoded rows on which each latent is active, (d_sae,)."""
        return self.latents["count"].to_numpy()

    @property
    def peaks(self) -> NDArray[np.float64]:
        """Largest activation of each latent, (d_sae,); 0 of one that is never active."""
        return self.latents["max"].fillna(0).to_numpy(np.float64)

    @cached_property
    def contexts(self) -> pd.DataFrame:
        """The contexts in which each latent fires most; see `saes.encode`."""
        return read_parquet(self.path / CONTEXTS)

    @cached_property
    def _group(self) -> zarr.Group:
        return zarr.open_group(self.path / CODES, mode="r", zarr_format=3)

    @cached_property
    def _indptr(self) -> np.ndarray:
        return read(array_in(self._group, "indptr"))

    def _attribute(self, name: str) -> Any:
        return self._group.attrs[name]

    def _read(self, name: str, start: int, stop: int) -> np.ndarray:
        return read(array_in(self._group, name), start, stop)


class CodesWriter:
    """Writes codes block by block, in the order of rows; every block but the last is BLOCK_ROWS."""

    def __init__(
        self,
        path: Path,
        rows: tuple[int, int],
        d_sae: int,
        counts: list[int],
        k: int,
    ):
        """`counts` are the entries of each block, `k` the width of the fixed layout, 0 for csr."""
        n = rows[1] - rows[0]
        layout = "fixed" if k else "csr"
        attributes: dict[str, Any] = {"layout": layout, "d_sae": d_sae, "rows": list(rows)}
        self._group = zarr.open_group(path / CODES, mode="w", zarr_format=3, attributes=attributes)
        self._fixed, self._row, self._entry = k, 0, 0
        total = sum(counts)
        entries, chunk = ((n, k), (BLOCK_ROWS, k)) if k else ((total,), (CSR_CHUNK,))
        self._indices = self._array("indices", entries, chunk, "uint32")
        self._values = self._array("values", entries, chunk, "float32")
        self._token = self._array("token", (n,), (CSR_CHUNK,), "int64")
        if not k:
            self._offsets = self._array("indptr", (n + 1,), (CSR_CHUNK,), "int64")
            self._indptr = [np.zeros(1, np.int64)]

    def _array(
        self, name: str, shape: tuple[int, ...], chunks: tuple[int, ...], dtype: str
    ) -> zarr.Array:
        chunks = tuple(max(1, min(c, s)) for c, s in zip(chunks, shape, strict=True))
        return self._group.create_array(
            name, shape=shape, chunks=chunks, dtype=dtype, compressors=[Crc32cCodec()], filters=None
        )

    def append(self, block: csr_matrix, token: np.ndarray) -> None:
        """Write the next block of rows, with their tokens; column indices of a row ascend."""
        self._token[self._row : self._row + block.shape[0]] = token
        if self._fixed:
            self._append_fixed(block)
        else:
            end = self._entry + block.nnz
            self._indices[self._entry : end] = block.indices.astype(np.uint32)
            self._values[self._entry : end] = block.data
            self._indptr.append(self._entry + block.indptr[1:].astype(np.int64))
            self._entry = end
        self._row += block.shape[0]

    def _append_fixed(self, block: csr_matrix) -> None:
        n, lengths = block.shape[0], np.diff(block.indptr)
        place = np.arange(self._fixed) < lengths[:, None]
        indices = np.zeros((n, self._fixed), np.uint32)
        values = np.zeros((n, self._fixed), np.float32)
        indices[place], values[place] = block.indices, block.data
        self._indices[self._row : self._row + n] = indices
        self._values[self._row : self._row + n] = values

    def close(self) -> None:
        """Write what is written last."""
        if not self._fixed:
            self._offsets[:] = np.concatenate(self._indptr)

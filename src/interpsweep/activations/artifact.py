"""How activations lie on disk, and the reader that every later stage uses. No torch.

``activations.zarr``
    One Zarr v3 array (rows, d_in), one row per token that is not special, in the order of the
    corpus. Uncompressed, CRC32C on every chunk, fill value NaN. bfloat16 is stored as its bits in
    uint16, with attribute ``encoding: bfloat16``.
``rows.zarr``
    Where rows come from: ``token`` int64 (rows,) flat index into the corpus, ``context`` int32,
    ``position`` int32 within the context.
``splits.json``
    ``{"train": [first, last], ...}``, half-open, in rows.
``statistics.safetensors``
    Over (at most some number of rows of) the train split, float64: ``mean`` (d,),
    ``second_moment`` (d, d), ``mean_norm`` and ``mean_squared_norm`` (1,).
"""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import zarr
from safetensors.numpy import load_file
from zarr.codecs import Crc32cCodec

from interpsweep.arrays import array_in, read
from interpsweep.errors import UserError
from interpsweep.tables import read_json

ARRAY, ROWS, SPLITS, STATISTICS = (
    "activations.zarr",
    "rows.zarr",
    "splits.json",
    "statistics.safetensors",
)
_BFLOAT16_NAN = 0x7FC0
CHECKSUM_BYTES = 4  # of CRC32C, little-endian, at the end of every chunk file


class Statistics(NamedTuple):
    """Moments of the train split, float64."""

    mean: np.ndarray  # (d,)
    second_moment: np.ndarray  # (d, d), mean of the outer products of rows with themselves
    mean_norm: float
    mean_squared_norm: float

    @property
    def covariance(self) -> np.ndarray:
        """Covariance (d, d) of the rows (divided by their number)."""
        return self.second_moment - np.outer(self.mean, self.mean)


def create_array(path: Path, rows: int, d_in: int, chunk_rows: int, dtype: str) -> zarr.Array:
    """Make the empty array of activations, or open the one an earlier attempt left."""
    if (path / "zarr.json").is_file():
        return zarr.open_array(path, mode="r+", zarr_format=3)
    bfloat16 = dtype == "bfloat16"
    return zarr.create_array(
        path,
        shape=(rows, d_in),
        chunks=(min(chunk_rows, rows), d_in),
        dtype="uint16" if bfloat16 else dtype,
        fill_value=_BFLOAT16_NAN if bfloat16 else float("nan"),
        filters=None,
        compressors=[Crc32cCodec()],
        attributes={"encoding": "bfloat16"} if bfloat16 else {},
        config={"write_empty_chunks": True},
        zarr_format=3,
    )


def chunk_file(path: Path, chunk: int) -> Path:
    """The file of one chunk of the array at `path`."""
    return path / "c" / str(chunk) / "0"


def to_float32(stored: np.ndarray) -> np.ndarray:
    """Stored numbers as float32; uint16 holds the bits of bfloat16."""
    if stored.dtype == np.uint16:
        return (stored.astype(np.uint32) << 16).view(np.float32)
    return stored.astype(np.float32, copy=False)


class Activations:
    """Activations of one site; see `open`. Reading whole chunks is fastest."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._array = zarr.open_array(self.path / ARRAY, mode="r", zarr_format=3)
        self.shape: tuple[int, int] = (self._array.shape[0], self._array.shape[1])
        self.chunk_rows: int = self._array.chunks[0]

    @classmethod
    def open(cls, path: Path | str) -> Activations:
        """Open an artifact folder. Raises UserError if chunks are missing or of the wrong size."""
        try:
            found = cls(Path(path))
        except (FileNotFoundError, KeyError) as error:
            raise UserError(f"{path}: no readable activations here ({error})") from None
        found._check_files()
        return found

    @property
    def d_in(self) -> int:
        """Width of a row."""
        return self.shape[1]

    @cached_property
    def splits(self) -> dict[str, tuple[int, int]]:
        """Rows [first, last) of each split."""
        return {name: (ends[0], ends[1]) for name, ends in read_json(self.path / SPLITS).items()}

    @cached_property
    def statistics(self) -> Statistics:
        """Moments of the train split."""
        held = load_file(self.path / STATISTICS)
        return Statistics(
            held["mean"],
            held["second_moment"],
            float(held["mean_norm"][0]),
            float(held["mean_squared_norm"][0]),
        )

    def chunks(self, split: str) -> list[tuple[int, int]]:
        """Pieces [start, stop) of rows that cover a split, none crossing the edge of a chunk."""
        first, last = self.splits[split]
        edges = range(first - first % self.chunk_rows, last, self.chunk_rows)
        return [(max(first, edge), min(last, edge + self.chunk_rows)) for edge in edges]

    def raw(self, start: int, stop: int) -> np.ndarray:
        """Rows [start, stop) as stored: float16, float32, or uint16 for bfloat16."""
        try:
            rows = read(self._array, start, stop)
        except (ValueError, OSError) as error:  # zarr's checksum error is a ValueError
            raise UserError(
                f"{self.path}: rows {start}..{stop} cannot be read ({error}); find what is damaged "
                "with `interpsweep verify`, and have it made again with `--repair`"
            ) from error
        self._refuse_holes(rows, start)
        return rows

    def read(self, start: int, stop: int) -> np.ndarray:
        """Rows [start, stop) as float32 (stop - start, d_in)."""
        return to_float32(self.raw(start, stop))

    def token(self, start: int, stop: int) -> np.ndarray:
        """Flat token indices into the corpus, int64, of rows [start, stop)."""
        return self._rows("token", start, stop)

    def context(self, start: int, stop: int) -> np.ndarray:
        """Contexts, int32, of rows [start, stop)."""
        return self._rows("context", start, stop)

    def position(self, start: int, stop: int) -> np.ndarray:
        """Positions within their contexts, int32, of rows [start, stop)."""
        return self._rows("position", start, stop)

    def _rows(self, name: str, start: int, stop: int) -> np.ndarray:
        group = zarr.open_group(self.path / ROWS, mode="r", zarr_format=3)
        return read(array_in(group, name), start, stop)

    def _refuse_holes(self, rows: np.ndarray, start: int) -> None:
        """A chunk that vanished after `open` reads as fill values: NaN, which is never written."""
        ahead = -start % self.chunk_rows
        firsts = to_float32(rows[np.unique([0, *range(ahead, len(rows), self.chunk_rows)]), 0])
        if len(rows) and np.isnan(firsts).any():
            raise UserError(f"{self.path}: a chunk of rows {start}..{start + len(rows)} is missing")

    def _check_files(self) -> None:
        """Every chunk file must be there in full size: a purge of scratch space shows here."""
        size = self.chunk_rows * self.d_in * self._array.dtype.itemsize + CHECKSUM_BYTES
        n_chunks = -(-self.shape[0] // self.chunk_rows)
        bad = [i for i in range(n_chunks) if _size(chunk_file(self.path / ARRAY, i)) != size]
        if bad:
            some = ", ".join(map(str, bad[:8])) + (", ..." if len(bad) > 8 else "")
            raise UserError(
                f"{self.path}: {len(bad)} of {n_chunks} chunks are missing or cut short (chunks "
                f"{some}); run `interpsweep verify --repair`, then the sweep again"
            )


def _size(path: Path) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return -1

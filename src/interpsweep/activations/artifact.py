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

A **mask** (stage ``mask``) says which of those rows are used, in a folder of its own:

``left_out.safetensors``
    The rows that are not: ``row`` int64 ascending, ``token`` int64 (flat index into the corpus),
    ``reason`` uint8, a sum of the values of `REASONS`.
``statistics.safetensors``
    Over (at most some number of) the rows of the train split that are used, float64: ``mean``
    (d,), ``second_moment`` (d, d), ``mean_norm`` and ``mean_squared_norm`` (1,).

Through masks `Activations` shows the rows that are used as if there were no others: rows are
counted, split and read without those that any of the masks leaves out.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import zarr
from safetensors.numpy import load_file
from zarr.codecs import Crc32cCodec

from interpsweep.arrays import array_in, read
from interpsweep.errors import UserError
from interpsweep.tables import read_json

ARRAY, ROWS, SPLITS = "activations.zarr", "rows.zarr", "splits.json"
LEFT_OUT, STATISTICS = "left_out.safetensors", "statistics.safetensors"  # of a mask
REASONS = {"position": 1, "token": 2, "norm": 4}
_BFLOAT16_NAN = 0x7FC0
CHECKSUM_BYTES = 4  # of CRC32C, little-endian, at the end of every chunk file


class Statistics(NamedTuple):
    """Moments of the rows of the train split that are used, float64."""

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


class LeftOut(NamedTuple):
    """Rows that masks leave out, ascending."""

    row: np.ndarray  # (m,) int64, as captured
    token: np.ndarray  # (m,) int64, flat index into the corpus

    @classmethod
    def of(cls, masks: Iterable[Path]) -> LeftOut:
        """Those that any of the masks in these folders leaves out."""
        held = [load_file(mask / LEFT_OUT) for mask in masks]
        none = np.zeros(0, np.int64)
        rows = np.concatenate([none, *(mask["row"] for mask in held)])
        tokens = np.concatenate([none, *(mask["token"] for mask in held)])
        row, place = np.unique(rows, return_index=True)
        return cls(row, tokens[place])


class Activations:
    """Activations of one site; see `open`. Reading whole chunks is fastest.

    With `masks`, folders of stage ``mask`` of which the first is the site's own, rows are those
    that are used.
    """

    def __init__(self, path: Path, masks: Iterable[Path] = ()) -> None:
        self.path, self.masks = Path(path), tuple(masks)
        self._array = zarr.open_array(self.path / ARRAY, mode="r", zarr_format=3)
        self.left_out = LeftOut.of(self.masks)
        rows, d_in = self._array.shape
        self.shape: tuple[int, int] = (rows - len(self.left_out.row), d_in)
        self.chunk_rows: int = self._array.chunks[0]
        # used rows before each row that is left out, which is where it falls among them
        self._before = self.left_out.row - np.arange(len(self.left_out.row))

    @classmethod
    def open(cls, path: Path | str, masks: Iterable[Path] = ()) -> Activations:
        """Open an artifact folder. Raises UserError if chunks are missing or of the wrong size."""
        try:
            found = cls(Path(path), masks)
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
        held = read_json(self.path / SPLITS)
        return {name: (self._used(ends[0]), self._used(ends[1])) for name, ends in held.items()}

    @cached_property
    def statistics(self) -> Statistics:
        """Moments of the train split, as the site's own mask has them."""
        held = load_file(self.masks[0] / STATISTICS)
        return Statistics(
            held["mean"],
            held["second_moment"],
            float(held["mean_norm"][0]),
            float(held["mean_squared_norm"][0]),
        )

    def chunks(self, split: str) -> list[tuple[int, int]]:
        """Pieces [start, stop) of rows that cover a split, none crossing the edge of a chunk."""
        first, last = read_json(self.path / SPLITS)[split]
        edges = range(first - first % self.chunk_rows, last, self.chunk_rows)
        pieces = [(max(first, edge), min(last, edge + self.chunk_rows)) for edge in edges]
        used = [(self._used(start), self._used(stop)) for start, stop in pieces]
        return [(start, stop) for start, stop in used if stop > start]

    def raw(self, start: int, stop: int) -> np.ndarray:
        """Rows [start, stop) as stored: float16, float32, or uint16 for bfloat16."""
        first, last = self.captured(start, stop)
        rows = self._stored(first, last)
        return rows[self._kept(first, last)] if len(self.left_out.row) else rows

    def read(self, start: int, stop: int) -> np.ndarray:
        """Rows [start, stop) as float32 (stop - start, d_in)."""
        return to_float32(self.raw(start, stop))

    def read_at(self, rows: np.ndarray) -> np.ndarray:
        """Ascending `rows` (n,), read chunk by chunk, as float32 (n, d_in)."""
        found = np.empty((len(rows), self.d_in), np.float32)
        chunk = rows // self.chunk_rows
        for begin, end in pairwise([*np.flatnonzero(np.diff(chunk, prepend=-1)), len(rows)]):
            first = int(rows[begin])
            found[begin:end] = self.read(first, int(rows[end - 1]) + 1)[rows[begin:end] - first]
        return found

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
        first, last = self.captured(start, stop)
        found = read(array_in(group, name), first, last)
        return found[self._kept(first, last)] if len(self.left_out.row) else found

    def as_captured(self, start: int, stop: int) -> np.ndarray:
        """Numbers among the captured rows, int64, of rows [start, stop)."""
        first, last = self.captured(start, stop)
        return first + np.flatnonzero(self._kept(first, last))

    def _used(self, row: int) -> int:
        """How many rows before captured row `row` are used."""
        return int(row - np.searchsorted(self.left_out.row, row))

    def captured(self, start: int, stop: int) -> tuple[int, int]:
        """The captured rows [first, last) from used row `start` to used row `stop` - 1."""
        ends = np.array([start, max(start, stop - 1)])
        first, last = ends + np.searchsorted(self._before, ends, side="right")
        return int(first), int(last) + 1 if stop > start else int(first)

    def _kept(self, first: int, last: int) -> np.ndarray:
        """Flags (last - first,) of the captured rows that are used."""
        low, high = np.searchsorted(self.left_out.row, [first, last])
        kept = np.ones(last - first, bool)
        kept[self.left_out.row[low:high] - first] = False
        return kept

    def _stored(self, first: int, last: int) -> np.ndarray:
        """Captured rows [first, last)."""
        try:
            rows = read(self._array, first, last)
        except (ValueError, OSError) as error:  # zarr's checksum error is a ValueError
            raise UserError(
                f"{self.path}: rows {first}..{last} cannot be read ({error}); find what is damaged "
                "with `interpsweep verify`, and have it made again with `--repair`"
            ) from error
        self._refuse_holes(rows, first)
        return rows

    def _refuse_holes(self, rows: np.ndarray, start: int) -> None:
        """A chunk that vanished after `open` reads as fill values: NaN, which is never written."""
        ahead = -start % self.chunk_rows
        places = np.unique([0, *range(ahead, len(rows), self.chunk_rows)])[: len(rows)]
        if np.isnan(to_float32(rows[places, 0])).any():
            raise UserError(f"{self.path}: a chunk of rows {start}..{start + len(rows)} is missing")

    def _check_files(self) -> None:
        """Every chunk file must be there in full size: a purge of scratch space shows here."""
        size = self.chunk_rows * self.d_in * self._array.dtype.itemsize + CHECKSUM_BYTES
        n_chunks = -(-self._array.shape[0] // self.chunk_rows)
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

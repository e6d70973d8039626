"""Activations that were made elsewhere: a folder of rows with their tokens, in three layouts.

``.safetensors``
    Each file is a shard, in the order of their names, with ``tokens``, ``context``, ``position``
    (n,) of any integer type and for each site an array (n, d) under its hook name.
``.npy``
    The same arrays as files: ``tokens.npy``, ``context.npy``, ``position.npy``,
    ``blocks.8.hook_resid_pre.npy``. Either in the folder itself, or in folders of it, each a shard,
    in the order of their names. ``tokens.npy`` may hold strings.
SAELens' cached activations
    A folder of a Hugging Face data set (``state.json``, ``*.arrow``): a row is a context, with
    ``token_ids`` (context,) and for each site (context, d) under its hook name.

Rows of one context follow each other and have one number in ``context``; ``position`` rises in it.
Activations are float16, bfloat16, float32 or float64. No torch.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from interpsweep.errors import UserError

TOKENS, CONTEXT, POSITION, TOKEN_IDS = "tokens", "context", "position", "token_ids"
VOCABULARY, TOKENIZER, STATE = "vocabulary.json", "tokenizer.json", "state.json"
_PLACES = (TOKENS, CONTEXT, POSITION)
_TYPES = {
    **{"F16": "<f2", "F32": "<f4", "F64": "<f8", "BF16": "<u2"},
    **{"I8": "<i1", "I16": "<i2", "I32": "<i4", "I64": "<i8"},
    **{"U8": "<u1", "U16": "<u2", "U32": "<u4", "U64": "<u8"},
}
LAYOUTS = "*.safetensors, tokens.npy, folders with tokens.npy, or SAELens' state.json and *.arrow"


class Shard(Protocol):
    """Some rows in a row. `name` is the file for messages, `widths` site -> d."""

    name: str
    rows: int
    widths: dict[str, int]
    numbered: bool  # whether its contexts have numbers that go on in the next shard

    def places(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Tokens (ids or strings), context and position, each (rows,)."""

    def read(self, site: str, start: int, stop: int) -> np.ndarray:
        """Activations (stop - start, d) float32."""


class ArrayShard:
    """A shard of whole arrays, one for tokens, contexts, positions and each site."""

    numbered = True

    def __init__(self, name: str, arrays: dict[str, tuple[str, np.ndarray]]) -> None:
        """`arrays`: name -> (its file, the array; bfloat16 as bits in a `_Bits`)."""
        self.name, self._arrays = name, arrays
        for needed in _PLACES:
            if needed not in arrays:
                raise UserError(
                    f"{name}: no `{needed}`; docs/imports.md says which arrays it needs"
                )
            file, array = arrays[needed]
            kinds = "iuU" if needed == TOKENS else "iu"
            if array.ndim != 1 or array.dtype.kind not in kinds or isinstance(array, _Bits):
                raise UserError(
                    f"{file}: `{needed}` is {array.dtype} {array.shape}; it is one integer for "
                    f"each row{' (or one string, in .npy)' if needed == TOKENS else ''}"
                )
        self.rows = len(arrays[TOKENS][1])
        sites = {site: held for site, held in arrays.items() if site not in _PLACES}
        for site, (file, array) in {**sites, **{n: arrays[n] for n in _PLACES}}.items():
            if len(array) != self.rows:
                raise UserError(
                    f"{file}: `{site}` has {len(array):,} rows, `tokens` has {self.rows:,}"
                )
        self.widths = {site: self._width(site, *held) for site, held in sites.items()}

    @staticmethod
    def _width(site: str, file: str, array: np.ndarray) -> int:
        if array.ndim != 2 or not (array.dtype.kind == "f" or isinstance(array, _Bits)):
            raise UserError(
                f"{file}: `{site}` is {array.dtype} {array.shape}; activations are (rows, width), "
                "float16, bfloat16, float32 or float64"
            )
        return int(array.shape[1])

    def places(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """See `Shard`."""
        tokens, context, position = (np.asarray(self._arrays[name][1]) for name in _PLACES)
        return tokens, context, position

    def read(self, site: str, start: int, stop: int) -> np.ndarray:
        """See `Shard`."""
        array = self._arrays[site][1]
        held = np.asarray(array[start:stop])
        if isinstance(array, _Bits):
            return (held.astype(np.uint32) << 16).view(np.float32)
        return held.astype(np.float32)


class _Bits(np.memmap):
    """The bits of bfloat16."""


class ArrowShard:
    """A file of SAELens' cached activations: rows are tokens of contexts of one length."""

    numbered = False

    def __init__(self, file: Path) -> None:
        self.name = str(file)
        try:
            self._table = pa.ipc.open_stream(pa.memory_map(self.name)).read_all()
        except (pa.ArrowInvalid, OSError) as error:
            raise UserError(f"{file}: not a readable Arrow file ({error})") from None
        if TOKEN_IDS not in self._table.column_names:
            raise UserError(
                f"{file}: no column `{TOKEN_IDS}`; SAELens writes it since version 5, and tokens "
                "are needed: cache the activations again"
            )
        self._ends = np.cumsum([0, *(len(chunk) for chunk in self._table.column(0).chunks)])
        self.length = self._length()
        self.rows = self._table.num_rows * self.length
        names = [name for name in self._table.column_names if name != TOKEN_IDS]
        self.widths = {name: self._width(name) for name in names if self._is_site(name)}

    def _is_site(self, name: str) -> bool:
        kind = self._table.schema.field(name).type
        kind = kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind
        return pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind)

    def _length(self) -> int:
        first = self._lists(TOKEN_IDS, 0)
        return len(first[0]) if len(first) else 0

    def _width(self, name: str) -> int:
        first = self._lists(name, 0)
        return len(first[0][0]) if len(first) and self.length else 0

    def _lists(self, name: str, chunk: int) -> Any:
        """Lists of one record batch. Raises UserError for a row without."""
        if not self._table.num_rows:
            return []
        column = self._table.column(name).chunk(chunk)
        held = column.storage if isinstance(column, pa.ExtensionArray) else column
        if len(held) and held.null_count:
            row = self._ends[chunk] + held.is_null().to_numpy(zero_copy_only=False).argmax()
            raise UserError(f"{self.name}: row {row}: `{name}` is null")
        return held

    def places(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """See `Shard`."""
        n = self._table.num_rows
        tokens = [self._flat(TOKEN_IDS, i, 1) for i in range(len(self._ends) - 1)]
        context, position = np.arange(n).repeat(self.length), np.tile(np.arange(self.length), n)
        return np.concatenate([*tokens, np.zeros(0, np.int64)]).astype(np.int64), context, position

    def _flat(
        self, name: str, chunk: int, width: int, first: int = 0, stop: int | None = None
    ) -> Any:
        """All numbers of contexts [first, stop) of a record batch, 1-D."""
        lists = self._lists(name, chunk)[first:stop]
        values, lengths = lists, lists.value_lengths().to_numpy(zero_copy_only=False)
        while pa.types.is_list(values.type) or pa.types.is_fixed_size_list(values.type):
            values = values.flatten()
        bad = np.flatnonzero(lengths != self.length)
        if len(bad) or len(values) != len(lists) * self.length * width or values.null_count:
            row = self._ends[chunk] + first + (bad[0] if len(bad) else 0)
            what = f"{lengths[bad[0]]} tokens" if len(bad) else "another width, or holes"
            raise UserError(
                f"{self.name}: row {row}: `{name}` has {what}; the first context has "
                f"{self.length} tokens" + (f" of width {width}" if width > 1 else "")
            )
        return values.to_numpy(zero_copy_only=False)

    def read(self, site: str, start: int, stop: int) -> np.ndarray:
        """See `Shard`."""
        width, first, last = self.widths[site], start // self.length, -(-stop // self.length)
        parts = []
        for chunk in range(len(self._ends) - 1):
            low, high = max(first, self._ends[chunk]), min(last, self._ends[chunk + 1])
            if low < high:
                begin = self._ends[chunk]
                parts.append(self._flat(site, chunk, width, low - begin, high - begin))
        rows = np.concatenate(parts).astype(np.float32).reshape(-1, width)
        return rows[start - first * self.length : stop - first * self.length]


class Stored:
    """All rows of a folder, one after the other."""

    def __init__(self, folder: Path) -> None:
        """Raises UserError for a folder of no known layout, and for arrays that do not fit."""
        self.folder = folder
        self.shards = list(_shards(folder))
        self.ends = np.cumsum([0, *(shard.rows for shard in self.shards)])
        first = self.shards[0]
        for shard in self.shards[1:]:
            if shard.widths != first.widths:
                site = next(
                    name
                    for name in {**first.widths, **shard.widths}
                    if first.widths.get(name) != shard.widths.get(name)
                )
                raise UserError(
                    f"{shard.name}: `{site}` has width {shard.widths.get(site, 'none')}, in "
                    f"{first.name} it has {first.widths.get(site, 'none')}"
                )
        if not first.widths:
            raise UserError(f"{first.name}: no activations beside the tokens")
        if not self.rows:
            raise UserError(f"{folder}: no rows")

    @property
    def rows(self) -> int:
        """Number of rows."""
        return int(self.ends[-1])

    @property
    def widths(self) -> dict[str, int]:
        """Site -> width."""
        return self.shards[0].widths

    def where(self, row: int) -> str:
        """The file of a row and its number there, for messages."""
        shard = int(np.searchsorted(self.ends, row, "right")) - 1
        return f"{self.shards[shard].name}: row {row - self.ends[shard]:,}"

    @cached_property
    def places(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Tokens (int64 ids, or strings), context and position (int64) of all rows, checked."""
        found, base = [], 0
        for shard in self.shards:
            tokens, context, position = shard.places()
            context = context.astype(np.int64) + (0 if shard.numbered else base)
            base = int(context[-1]) + 1 if len(context) else base
            found.append((tokens, context, position.astype(np.int64)))
        kinds = {tokens.dtype.kind == "U" for tokens, _, _ in found}
        if len(kinds) > 1:
            raise UserError(f"{self.folder}: tokens are strings in one shard and ids in another")
        tokens, context, position = (np.concatenate(column) for column in zip(*found, strict=True))
        self._check(context, position)
        return tokens, context, position

    def _check(self, context: np.ndarray, position: np.ndarray) -> None:
        """Raise UserError for a context that comes back and for positions that do not rise."""
        opens = np.concatenate([[True], context[1:] != context[:-1]])
        firsts = np.flatnonzero(opens)
        _, once = np.unique(context[firsts], return_index=True)
        if len(once) < len(firsts):
            again = int(firsts[np.setdiff1d(np.arange(len(firsts)), once)[0]])
            raise UserError(
                f"{self.where(again)}: context {context[again]} comes a second time; rows of one "
                "context follow each other"
            )
        wrong = np.flatnonzero((position < 0) | (position > MOST) | _no_rise(position, opens))
        if len(wrong):
            raise UserError(
                f"{self.where(int(wrong[0]))}: position {position[wrong[0]]} in context "
                f"{context[wrong[0]]}; positions are 0 or more and rise within a context"
            )

    def read(self, site: str, start: int, stop: int) -> np.ndarray:
        """Activations (stop - start, d) float32. Raises UserError for NaN and infinity."""
        low = int(np.searchsorted(self.ends, start, "right")) - 1
        parts = []
        while start < stop:
            base, end = int(self.ends[low]), min(stop, int(self.ends[low + 1]))
            if start < end:
                parts.append(self.shards[low].read(site, start - base, end - base))
            start, low = max(start, end), low + 1
        rows = np.concatenate(parts)
        wrong = ~np.isfinite(rows).all(1)
        if wrong.any():
            row = stop - len(rows) + int(wrong.argmax())
            raise UserError(f"{self.where(row)}: `{site}` holds NaN or infinity; leave the row out")
        return rows


MOST = (1 << 20) - 1  # the last position that a context can have


def _no_rise(position: np.ndarray, opens: np.ndarray) -> np.ndarray:
    return np.concatenate([[False], np.diff(position) <= 0]) & ~opens


def _shards(folder: Path) -> Iterator[Shard]:
    files = data_files(folder)
    if (folder / STATE).is_file():
        yield from (ArrowShard(file) for file in files if file.suffix == ".arrow")
    elif any(file.suffix == ".safetensors" for file in files):
        yield from (_safetensors(file) for file in files if file.suffix == ".safetensors")
    else:
        for place in sorted({file.parent for file in files if file.suffix == ".npy"}):
            arrays = {file.stem: (str(file), _npy(file)) for file in sorted(place.glob("*.npy"))}
            yield ArrayShard(str(place), arrays)


def data_files(folder: Path) -> list[Path]:
    """The files of a folder that count, sorted. Raises UserError if its layout is not known."""
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; models[].path must hold activations")
    if (folder / STATE).is_file():
        found = sorted(folder.glob("*.arrow"))
    elif not (found := sorted(folder.glob("*.safetensors"))):
        shards = [folder, *sorted(path.parent for path in folder.glob("*/tokens.npy"))]
        found = [file for place in shards for file in sorted(place.glob("*.npy"))]
        if found and found[0].parent == folder:  # arrays in the folder itself: one shard
            found = [file for file in found if file.parent == folder]
    if not found:
        raise UserError(f"{folder}: no activations of a known layout ({LAYOUTS})")
    return [
        *found,
        *(folder / name for name in (VOCABULARY, TOKENIZER) if (folder / name).is_file()),
    ]


def _npy(file: Path) -> np.ndarray:
    try:
        found: np.ndarray = np.load(file, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise UserError(f"{file}: not a readable .npy of numbers or strings ({error})") from None
    return found


def _safetensors(file: Path) -> ArrayShard:
    """A shard whose arrays stay on disk; the format's header is read here, for bfloat16."""
    size = file.stat().st_size
    try:
        with file.open("rb") as handle:
            (length,) = struct.unpack("<Q", handle.read(8))
            header = json.loads(handle.read(min(length, size)))
        arrays = {
            name: (str(file), _mapped(file, 8 + length, **entry))
            for name, entry in header.items()
            if name != "__metadata__"
        }
    except (struct.error, ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"{file}: not a readable safetensors file ({error})") from None
    return ArrayShard(str(file), arrays)


def _mapped(
    file: Path, base: int, dtype: str, shape: list[int], data_offsets: list[int]
) -> np.ndarray:
    kind = _Bits if dtype == "BF16" else np.memmap
    if 0 in shape:
        return np.empty(shape, _TYPES[dtype])
    found: np.ndarray = kind(
        file, np.dtype(_TYPES[dtype]), "r", base + data_offsets[0], tuple(shape)
    )
    return found

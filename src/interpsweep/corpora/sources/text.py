"""Texts from local files: .txt, .jsonl and .parquet, packed or not, read piece by piece.

What a file can hold that is no text is either left out and counted (null), mended and counted
(lone surrogates; see `document.Found`), or an error that names the file and the row. A byte order
mark is dropped; anything but UTF-8 is an error.
"""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from interpsweep.errors import UserError, nearest

_MARK = "\ufeff"  # a byte order mark, where it should not be
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


def texts(files: list[tuple[Path, str]], unit: str, column: str, seed: int) -> Iterator[str | None]:
    """Texts of (path, format) `files`, None for null; the order of files is shuffled by `seed`.

    A format is one of `identity.FORMATS`. `unit` says what a document of a .txt file is (file,
    paragraph, line), `column` which field of the other formats holds the text.
    """
    for i in np.random.default_rng([seed, 1]).permutation(len(files)):
        path, form = files[i]
        kind, _, packing = form.partition(".")
        if kind == "txt":
            yield from _plain(path, packing, unit)
        else:
            rows = _json_lines(path, packing) if kind == "jsonl" else _parquet(path, column)
            for number, row in rows:
                yield field_of(row, column, f"{path}, row {number}")


def _plain(path: Path, packing: str, unit: str) -> Iterator[str]:
    lines = (line for _, line in _lines(path, packing, "line"))
    if unit == "file":
        yield "".join(lines)
        return
    if unit == "line":
        yield from (line.rstrip("\n") for line in lines)
        return
    paragraph: list[str] = []
    for line in lines:
        if line.strip():
            paragraph.append(line)
        elif paragraph:
            yield "".join(paragraph).rstrip("\n")
            paragraph = []
    if paragraph:
        yield "".join(paragraph).rstrip("\n")


def _lines(path: Path, packing: str, what: str) -> Iterator[tuple[int, str]]:
    """Numbered lines with their ends. Raises UserError naming the first that cannot be read."""
    number = 0
    try:
        with (
            _opened(path, packing) as raw,
            io.TextIOWrapper(raw, encoding="utf-8-sig", errors="surrogateescape") as lines,
        ):
            for number, line in enumerate(lines, start=1):
                yield number, _utf8(line, f"{path}, {what} {number}")
    except (OSError, EOFError, zlib.error) as error:  # a packing that breaks off is one, too
        raise UserError(
            f"{path}, {what} {number + 1}: cannot be read ({one_line(error)}); fetch or "
            "pack it again"
        ) from error


def _opened(path: Path, packing: str) -> Any:  # a binary file
    if packing == "gz":
        return gzip.open(path)
    if packing == "zst":
        import pyarrow

        # pyarrow brings the codec along: nothing else has to be installed
        return io.BufferedReader(pyarrow.CompressedInputStream(str(path), "zstd"))
    return path.open("rb")


def _utf8(line: str, where: str) -> str:
    """The line, if its bytes were UTF-8."""
    try:
        line.encode()
    except UnicodeEncodeError as error:
        raw = line.encode(errors="surrogateescape")
        looks = "it looks like UTF-16" if raw.startswith(_UTF16) else f"byte {raw[error.start]:#x}"
        raise UserError(f"{where}: not UTF-8 text ({looks}); convert the file first") from None
    return line


def one_line(error: BaseException) -> str:
    """What a library says, without the lines that it drew."""
    return " ".join(str(error).split())


def field_of(row: Any, column: str, where: str) -> str | None:
    """Text in field `column` of a row, None for null; raises UserError naming what is there."""
    if row is None:
        return None
    if not isinstance(row, dict) or column not in row:
        there = sorted(map(str, row)) if isinstance(row, dict) else []
        raise UserError(
            f"{where}: no field {column!r}; set corpus.field to one of: "
            f"{', '.join(there) or 'none, as the row is no object'}{nearest(column, there)}"
        )
    text = row[column]
    if text is not None and not isinstance(text, str):
        raise UserError(
            f"{where}: field {column!r} holds {type(text).__name__}, not text; set "
            "corpus.field to a field of text"
        )
    return text


def _json_lines(path: Path, packing: str) -> Iterator[tuple[int, Any]]:
    for number, line in _lines(path, packing, "row"):
        line = line.lstrip(_MARK)  # files that were put together have them inside
        if line.strip():
            try:
                yield number, json.loads(line)
            except (ValueError, RecursionError) as error:  # also a number of too many digits
                reason = getattr(error, "msg", error)
                raise UserError(f"{path}, row {number}: not JSON ({reason})") from error


def _parquet(path: Path, column: str) -> Iterator[tuple[int, Any]]:
    import pyarrow.parquet as pq
    from pyarrow.lib import ArrowException

    number = 0
    try:
        file = pq.ParquetFile(path)
        names = file.schema_arrow.names
        if column not in names:
            field_of(dict.fromkeys(names), column, f"{path}, row 1")
        for batch in file.iter_batches(batch_size=1024, columns=[column]):
            for value in batch.column(0):
                number += 1
                yield number, {column: value.as_py()}
    except UnicodeDecodeError as error:
        raise UserError(f"{path}, row {number}: not UTF-8 text ({error.reason})") from error
    except (ArrowException, OSError) as error:
        raise UserError(
            f"{path}, row {number + 1}: cannot be read as Parquet ({one_line(error)}); "
            "fetch it again"
        ) from error

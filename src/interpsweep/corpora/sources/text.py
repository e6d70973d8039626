"""Documents from local files: .txt, .jsonl and .parquet, read piece by piece."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from interpsweep.corpora.sources.document import Document
from interpsweep.errors import UserError, nearest


def documents(
    files: list[tuple[Path, str]], unit: str, column: str, seed: int
) -> Iterator[Document]:
    """Non-empty documents of (path, format) `files`; the order of the files is shuffled by `seed`.

    `unit` says what a document of a .txt file is (file, paragraph, line), `column` which field of
    the other formats holds the text.
    """
    for i in np.random.default_rng([seed, 1]).permutation(len(files)):
        path, form = files[i]
        texts = _plain(path, unit) if form == "txt" else _rows(path, form, column)
        yield from (Document(text) for text in texts if text.strip())


def _plain(path: Path, unit: str) -> Iterator[str]:
    try:
        if unit == "file":
            yield path.read_text(encoding="utf-8")
            return
        with path.open(encoding="utf-8") as lines:
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
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text ({error.reason}); convert it first") from error


def _rows(path: Path, form: str, column: str) -> Iterator[str]:
    rows = _json_lines(path) if form == "jsonl" else _parquet(path, column)
    for number, row in rows:
        yield field_of(row, column, f"{path}, row {number}")


def field_of(row: Any, column: str, where: str) -> str:
    """Text in field `column` of a row; raises UserError naming the fields that are there."""
    if not isinstance(row, dict) or column not in row:
        there = sorted(map(str, row)) if isinstance(row, dict) else []
        raise UserError(
            f"{where}: no field {column!r}; set corpus.field to one of: "
            f"{', '.join(there) or 'none, as the row is no object'}{nearest(column, there)}"
        )
    if not isinstance(row[column], str):
        raise UserError(
            f"{where}: field {column!r} holds {type(row[column]).__name__}, not text; set "
            "corpus.field to a field of text"
        )
    return row[column]


def _json_lines(path: Path) -> Iterator[tuple[int, Any]]:
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                try:
                    yield number, json.loads(line)
                except json.JSONDecodeError as error:
                    raise UserError(f"{path}, row {number}: not JSON ({error.msg})") from error


def _parquet(path: Path, column: str) -> Iterator[tuple[int, Any]]:
    import pyarrow.parquet as pq
    from pyarrow.lib import ArrowInvalid

    try:
        file = pq.ParquetFile(path)
    except ArrowInvalid as error:
        raise UserError(f"{path}: not a Parquet file ({error})") from error
    names = file.schema_arrow.names
    if column not in names:
        field_of(dict.fromkeys(names), column, f"{path}, row 1")
    number = 0
    for batch in file.iter_batches(batch_size=1024, columns=[column]):
        for text in batch.column(0).to_pylist():
            number += 1
            yield number, {column: text}

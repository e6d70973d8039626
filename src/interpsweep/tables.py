"""Deterministic tables and JSON: the same values always give the same bytes."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def write_parquet(frame: pd.DataFrame, path: Path) -> None:
    """Write `frame` without its index; no pandas metadata, so bytes depend on the values alone."""
    write_parquet_parts([frame], path)


def write_parquet_parts(frames: Iterable[pd.DataFrame], path: Path) -> None:
    """The same from parts of a table with equal columns, at least one, held one at a time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    writer = None
    for frame in frames:
        table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)
        writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")
        writer.write_table(table)
    if writer is None:
        raise ValueError(f"{path}: no parts to write")
    writer.close()


def read_parquet(path: Path, columns: list[str] | None = None) -> pd.DataFrame:
    """Read a table written by `write_parquet`."""
    import pandas as pd

    return pd.read_parquet(path, columns=columns)


def typed(rows: list[dict[str, Any]] | pd.DataFrame, columns: dict[str, Any]) -> pd.DataFrame:
    """A table with exactly these columns and types; empty input gives an empty table."""
    import pandas as pd

    frame = rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(rows)
    return frame.reindex(columns=list(columns)).astype(columns)


def write_json(value: Any, path: Path) -> None:
    """Write JSON with sorted keys and two-space indentation; NaN is refused."""
    text = json.dumps(value, sort_keys=True, indent=2, allow_nan=False, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))

"""Finished items that a stage gathers, with their coordinates, and their tables side by side."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from interpsweep.columns import PLACE
from interpsweep.tables import read_json, read_parquet


@dataclass(frozen=True)
class Source:
    """One finished item: digest, folder, and its place in the sweep."""

    digest: str
    path: Path
    at: dict[str, Any]

    def key(self, names: Iterable[str]) -> tuple[Any, ...]:
        """The named coordinates."""
        return tuple(self.at.get(name) for name in names)

    def table(self, name: str, columns: list[str] | None = None) -> pd.DataFrame:
        """One of its tables, or those columns of it."""
        return read_parquet(self.path / f"{name}.parquet", columns)

    def summary(self, name: str = "summary") -> dict[str, Any]:
        """One of its JSON files."""
        found: dict[str, Any] = read_json(self.path / f"{name}.json")
        return found


def gather(spec: dict[str, Any], inputs: dict[str, Any]) -> dict[str, list[Source]]:
    """All inputs by role, in the order of the spec, with their coordinates in its `index`."""
    index = spec["settings"].get("index", {})
    found = {}
    for role, digests in spec["inputs"].items():
        one = not isinstance(digests, list)
        ours, theirs = ([digests], [inputs[role]]) if one else (digests, inputs[role])
        found[role] = [
            Source(digest, Path(path), dict(index.get(digest, {})))
            for digest, path in zip(ours, theirs, strict=True)
        ]
    return found


def place(at: dict[str, Any]) -> dict[str, Any]:
    """All coordinate columns; -1, "" or NaN where one does not apply."""
    empty = {"layer": -1, "d_sae": -1, "seed": -1, "sparsity": float("nan")}
    return {name: at[name] if at.get(name) is not None else empty.get(name, "") for name in PLACE}


def stacked(sources: list[Source], name: str) -> pd.DataFrame:
    """One table of several items under each other, coordinates first, then the item's digest.

    A table's own column wins over a coordinate of the same name.
    """
    frames = []
    for source in sources:
        frame = source.table(name)
        flat = {k: v for k, v in source.at.items() if k != "stage" and not isinstance(v, dict)}
        at = {k: v for k, v in {**flat, **place(source.at)}.items() if k not in frame}
        frames += [frame.assign(**at, item=source.digest)] if len(frame) else []
    if not frames:
        return pd.DataFrame()
    together = pd.concat(frames, ignore_index=True)
    first = [*PLACE, "item"]
    return together[[*first, *[c for c in together.columns if c not in first]]]

"""What a figure reads: finished store items with their place in the sweep."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from interpsweep.tables import read_json, read_parquet

PLACE = ("model", "site", "layer", "architecture", "sparsity", "d_sae", "seed")


@dataclass(frozen=True)
class Source:
    """One input item: its folder, digest, and coordinates in the sweep."""

    path: Path
    digest: str
    coordinates: Mapping[str, Any]

    def frame(self, name: str, columns: list[str] | None = None) -> pd.DataFrame:
        """Read one of the item's tables; a table that was not written is an empty frame."""
        path = self.path / name
        return read_parquet(path, columns) if path.exists() else pd.DataFrame()

    def json(self, name: str) -> dict[str, Any]:
        """Read one of the item's JSON files; a missing file is an empty dictionary."""
        path = self.path / name
        return read_json(path) if path.exists() else {}


Sources = Mapping[str, list[Source]]


def gather(
    digests: Mapping[str, Any], paths: Mapping[str, Any], index: Mapping[str, Mapping[str, Any]]
) -> dict[str, list[Source]]:
    """Pair every input's digest with its path and coordinates, in the order of the spec."""
    found = {}
    for role, value in digests.items():
        ours = value if isinstance(value, list) else [value]
        theirs = paths[role] if isinstance(paths[role], list) else [paths[role]]
        found[role] = [
            Source(Path(path), digest, index.get(digest, {}))
            for digest, path in zip(ours, theirs, strict=True)
        ]
    return found


def stacked(sources: Iterable[Source], name: str, columns: list[str] | None = None) -> pd.DataFrame:
    """The same table of several items, one under the other, with coordinates as first columns.

    A table's own column wins over a coordinate of the same name.
    """
    frames = []
    for source in sources:
        frame = source.frame(name, columns)
        if frame.empty:
            continue
        extra = {k: v for k, v in place(source).items() if k not in frame.columns}
        frames.append(frame.assign(**extra)[[*extra, *frame.columns]])
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def place(source: Source) -> dict[str, Any]:
    """Coordinates as flat scalar columns: nested ones (the ends of a match) become ``a_d_sae``."""
    flat: dict[str, Any] = {}
    for key, value in source.coordinates.items():
        if isinstance(value, Mapping):
            flat |= {
                f"{key}_{inner}": v for inner, v in value.items() if not isinstance(v, Mapping)
            }
        elif key != "stage":
            flat[key] = value
    return flat

"""What a figure reads: finished items, and their tables under each other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from interpsweep.columns import PLACE
from interpsweep.sources import Source

__all__ = ["PLACE", "Source", "Sources", "place", "stacked"]

Sources = Mapping[str, list[Source]]


def stacked(sources: Iterable[Source], name: str, columns: list[str] | None = None) -> pd.DataFrame:
    """The same table of several items, one under the other, with coordinates as first columns.

    A table's own column wins over a coordinate of the same name.
    """
    frames = []
    for source in sources:
        frame = source.table(name, columns)
        if frame.empty:
            continue
        extra = {k: v for k, v in place(source).items() if k not in frame.columns}
        frames.append(frame.assign(**extra)[[*extra, *frame.columns]])
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def place(source: Source) -> dict[str, Any]:
    """Coordinates as flat scalar columns: nested ones (the ends of a match) become ``a_d_sae``."""
    flat: dict[str, Any] = {}
    for key, value in source.at.items():
        if isinstance(value, Mapping):
            flat |= {
                f"{key}_{inner}": v for inner, v in value.items() if not isinstance(v, Mapping)
            }
        elif key != "stage":
            flat[key] = value
    return flat

"""Tables and the picture of docs/methods.md from the scores of edge_types.py."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import picture_edge_types

from interpsweep.config.pictures import FigureStyle
from interpsweep.figures import style
from interpsweep.report import measured

BEGIN, END = "<!-- edge types -->", "<!-- end of edge types -->"
SUMS = ["true", "found", "right"]
SHOWN = ("parent_child", "absorption", "split", "specialisation", "identity", "identity_with_holes",
         "novel")  # fmt: skip


def write(root: Path, store: Path, worlds: list[str]) -> None:
    """Write the measured scores into the package, and the table and the picture into the docs."""
    grid, found = _grid(_read(store, "grid")), _worlds(store, worlds)
    measured.write("edge_types", grid)
    measured.write("edge_worlds", found)
    look = FigureStyle()
    with style.house(look):
        if len(grid):
            path = root / "docs" / "images" / "edge-types.png"
            picture_edge_types.draw(picture_edge_types.scored(grid), look).savefig(
                path, metadata={"Software": None}
            )
    page = root / "docs" / "methods.md"
    text = page.read_text(encoding="utf-8")
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    page.write_text(f"{before}{BEGIN}\n\n{_table(found)}\n\n{END}{after}", encoding="utf-8")


def _read(store: Path, name: str) -> pd.DataFrame:
    path = store / f"{name}.json"
    return pd.read_json(path) if path.exists() else pd.DataFrame()


def _grid(scores: pd.DataFrame) -> pd.DataFrame:
    """One row per axis, value, noise and type, summed over seeds."""
    if scores.empty:
        return scores
    scores = scores[scores["type"].isin(picture_edge_types.TYPES)]
    key = ["axis", "value", "noise", "type"]
    return scores.groupby(key)[SUMS].sum().reset_index()


def _worlds(store: Path, worlds: list[str]) -> pd.DataFrame:
    """One row per world, architecture and type, summed over seeds."""
    parts = [_read(store, name).assign(world=name) for name in worlds]
    scores = pd.concat([part for part in parts if len(part)])
    scores = scores[scores["type"].isin(SHOWN)]
    key = ["world", "architecture", "type"]
    sums = scores.groupby(key, sort=False)[SUMS].sum().reset_index()
    return sums.sort_values(key, ignore_index=True)


def _table(found: pd.DataFrame) -> str:
    """F1 (precision / recall) by world and architecture, one column per type."""
    names = [name.replace("_", " ").replace("parent child", "any child") for name in SHOWN]
    lines = [f"| world | SAEs | {' | '.join(names)} |", "|---" * (len(SHOWN) + 2) + "|"]
    for (world, architecture), of in found.groupby(["world", "architecture"], sort=False):
        rows = of.set_index("type")
        cells = [_cell(rows.loc[name]) if name in rows.index else "" for name in SHOWN]
        lines.append(f"| {world} | {architecture} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(row: pd.Series) -> str:
    if row["true"] + row["found"] == 0:
        return "none"
    f1 = 2 * row["right"] / (row["true"] + row["found"])
    precision = f"{row['right'] / row['found']:.2f}" if row["found"] else "–"
    recall = f"{row['right'] / row['true']:.2f}" if row["true"] else "–"
    return f"{f1:.2f} ({precision}/{recall}, {int(row['true'])})"

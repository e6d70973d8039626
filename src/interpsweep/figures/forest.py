"""The largest lineages of a family: latents of the narrow dictionary and what they become."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, PathPatch, Rectangle
from matplotlib.path import Path as Curve

from interpsweep.config.pictures import FigureStyle
from interpsweep.figures import style as s
from interpsweep.figures.sources import Source, Sources

MISSING = "No lineage: no feature of this family has a parent in a narrower dictionary."

_LINEAGES = 40  # most lineages in the table
_LEAVES = 36  # most ends drawn
_PER_LINEAGE = 9  # most ends drawn of one lineage
_BAR = 0.035  # half the width of a node, in levels


def table(sources: Sources) -> pd.DataFrame:
    """One row per node of the largest lineages: parent, type, and the tokens it fires most for."""
    trees = sources.get("tree", [])
    nodes = trees[0].table("nodes") if trees else pd.DataFrame()
    if nodes.empty:
        return nodes
    lineages = nodes.groupby("root").agg(nodes=("node", "size"), ends=("n_children", _ends))
    lineages = lineages[lineages["nodes"] > 1].reset_index()
    lineages = lineages.sort_values(
        ["ends", "nodes", "root"], ascending=[False, False, True], ignore_index=True
    ).head(_LINEAGES)
    rank = {root: i for i, root in enumerate(lineages["root"])}
    kept = nodes[nodes["root"].isin(rank)].copy()
    kept["lineage"] = kept["root"].map(rank).astype("int32")
    kept["label"] = _labels(kept, sources.get("encode", []))
    columns = ["lineage", "node", "parent", "level", "d_sae", "latent", "type", "count", "label"]
    return kept.sort_values(["lineage", "level", "latent"], ignore_index=True)[columns]


def _ends(children: pd.Series) -> int:
    return int((children == 0).sum())


def _labels(nodes: pd.DataFrame, codes: list[Source]) -> list[str]:
    """The commonest tokens of every node's top contexts."""
    tokens: dict[tuple[int, int], str] = {}
    for source in codes:
        contexts = source.table("contexts")
        width = int(source.at["d_sae"])
        wanted = set(nodes.loc[nodes["d_sae"] == width, "latent"])
        if contexts.empty or not wanted:
            continue
        for feature, of in contexts[contexts["feature"].isin(wanted)].groupby("feature"):
            tokens[width, int(feature)] = common(of.sort_values("rank")["token"].tolist())
    return [tokens.get((int(n.d_sae), int(n.latent)), "") for n in nodes.itertuples()]


def common(words: list[object], most: int = 3) -> str:
    """The commonest of `words` (white space trimmed), commonest first, at most `most`."""
    seen = Counter(w for w in (str(word).strip() for word in words) if w)
    share = sum(seen.values()) / 10
    return " / ".join(word for word, n in seen.most_common(most) if n > share)


def draw(table: pd.DataFrame, style: FigureStyle) -> Figure:
    """Levels from left to right; a node is as high as the ends it leads to."""
    trees: list[_Lineage] = []
    total = 0
    for _, of in table.groupby("lineage", sort=True):
        tree = _Lineage(of)
        if trees and total + len(tree.ends) > _LEAVES:
            break
        trees.append(tree)
        total += len(tree.ends)
    figure = s.plt.figure(figsize=(style.width, max(2.2, 0.19 * (total + 0.8 * len(trees)) + 0.9)))
    axis = figure.subplots()
    top = 0.0
    for tree in trees:
        top = tree.draw(axis, top, style) + 0.8
    levels = table[["level", "d_sae"]].drop_duplicates().sort_values("level")
    axis.set_xticks(levels["level"], [f"{s.count(w)} latents" for w in levels["d_sae"]])
    axis.xaxis.tick_top()
    axis.tick_params(length=0)
    axis.set_yticks([])
    axis.set_ylim(top, -0.5)
    span = max(1, levels["level"].max() - levels["level"].min())
    axis.set_xlim(levels["level"].min() - 0.38 * span, levels["level"].max() + 0.45 * span)
    for side in axis.spines.values():
        side.set_visible(False)
    drawn = {kind for tree in trees for kind in tree.types}
    marks = [Patch(color=c, label=s.words(t)) for t, c in s.EDGE_COLOURS.items() if t in drawn]
    figure.legend(handles=marks, loc="outside lower center", ncols=min(5, max(1, len(marks))))
    return figure


class _Lineage:
    """One tree, pruned to its most frequent ends."""

    def __init__(self, of: pd.DataFrame) -> None:
        self.row = {n.node: n for n in of.itertuples()}
        parents = set(of["parent"])
        ends = [n for n in self.row.values() if n.node not in parents]
        ends.sort(key=lambda n: (-n.count, n.node))
        self.hidden = len(ends[_PER_LINEAGE:])
        self.ends = {n.node for n in ends[:_PER_LINEAGE]}
        self.kept: set[str] = set()
        for name in self.ends:
            while name in self.row and name not in self.kept:
                self.kept.add(name)
                name = self.row[name].parent
        self.children: dict[str, list[str]] = {}
        for name in sorted(self.kept, key=lambda n: (-self.row[n].count, n)):
            self.children.setdefault(self.row[name].parent, []).append(name)
        self.types = {self.row[n].type for n in self.kept if self.row[n].parent in self.row}

    def height(self, name: str) -> int:
        """Number of drawn ends under a node."""
        return 1 if name in self.ends else sum(self.height(c) for c in self.children[name])

    def draw(self, axis: Axes, top: float, style: FigureStyle) -> float:
        """Draw from `top` downwards; return where it ended."""
        (root,) = [n for n in self.kept if self.row[n].parent not in self.row]
        bottom = top + self.height(root)
        row = self.row[root]
        if root not in self.ends:
            _text(axis, row.level - 3 * _BAR, (top + bottom) / 2, row, "right", style)
        self._node(axis, root, top, style)
        if self.hidden:
            last = max(self.row[n].level for n in self.kept)
            note = f"and {self.hidden} more"
            axis.text(last + 3 * _BAR, bottom + 0.3, note, va="center", color="#777777",
                      fontsize=style.font_size * 0.72, style="italic")  # fmt: skip
        return bottom + (0.4 if self.hidden else 0.0)

    def _node(self, axis: Axes, name: str, top: float, style: FigureStyle) -> None:
        row, height = self.row[name], self.height(name)
        colour = s.EDGE_COLOURS.get(row.type, s.INK) if row.parent in self.row else s.INK
        low, high = top + 0.1, top + height - 0.1
        axis.add_patch(Rectangle((row.level - _BAR, low), 2 * _BAR, high - low, color=colour, lw=0))
        if name in self.ends:
            _text(axis, row.level + 3 * _BAR, top + height / 2, row, "left", style)
            return
        for child in self.children[name]:
            below, kind, offset = (
                self.height(child),
                self.row[child].type,
                self._offset(name, child),
            )
            x = (row.level + _BAR, self.row[child].level - _BAR)
            share = (high - low) / height  # the gaps between neighbours shrink towards the parent
            first = (low + offset * share, low + (offset + below) * share)
            child_top = top + offset
            last = (child_top + 0.1, child_top + below - 0.1)
            axis.add_patch(_band(x, first, last, s.EDGE_COLOURS.get(kind, s.GREY)))
            self._node(axis, child, child_top, style)

    def _offset(self, name: str, child: str) -> int:
        before = self.children[name][: self.children[name].index(child)]
        return sum(self.height(c) for c in before)


def _band(
    x: tuple[float, float], first: tuple[float, float], last: tuple[float, float], colour: str
) -> PathPatch:
    """A smooth ribbon from the side `first` (top, bottom) of one node to `last` of the next."""
    middle = (x[0] + x[1]) / 2
    points = [
        (x[0], first[0]), (middle, first[0]), (middle, last[0]), (x[1], last[0]),
        (x[1], last[1]), (middle, last[1]), (middle, first[1]), (x[0], first[1]), (x[0], first[0]),
    ]  # fmt: skip
    codes = [Curve.MOVETO, *[Curve.CURVE4] * 3, Curve.LINETO, *[Curve.CURVE4] * 3, Curve.CLOSEPOLY]
    return PathPatch(Curve(points, codes), facecolor=colour, alpha=0.3, lw=0)


def _text(axis: Axes, x: float, y: float, row: Any, side: str, style: FigureStyle) -> None:
    label = s.plain(row.label, 34) or f"feature {row.latent}"
    axis.text(x, y, label, ha=side, va="center", fontsize=style.font_size * 0.78)

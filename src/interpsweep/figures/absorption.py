"""Holes in surviving latents against the control between seeds, and what absorbers conserve."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from interpsweep.config.pictures import FigureStyle
from interpsweep.figures import style as s
from interpsweep.figures.sources import Source, Sources, stacked

MISSING = "No two dictionaries of this site were matched: it has one width and one seed."

_MATCH = ["mutual", "cosine", "n_a", "n_match_a"]
_EDGES = ["primary", "step", "n", "w", "type", "subtype", "cosine", "match", "match_cosine",
          "conservation"]  # fmt: skip
_FAMILY = ["architecture", "sparsity", "seed"]
_LEAST, _COSINE = 30, 0.8  # firings and cosine of what methods.md calls a match
_SMALL = 0.02  # ratios below it lie outside the panels
_RATES = {"width": "holes, next wider", "seed": "holes, another seed", "absorbed": "absorbed"}


def table(sources: Sources) -> pd.DataFrame:
    """Part "rate": one row per match, family and kind. Part "child": one per child of a silent
    match.
    """
    rows: list[dict[str, Any]] = []
    for source in sources.get("match", []):
        pairs = source.table("edges", _MATCH)
        if pairs.empty or source.at.get("direction") not in _RATES:
            continue
        a, b = source.at["a"], source.at["b"]
        place = {**{k: a[k] for k in _FAMILY}, "d_narrow": a["d_sae"], "d_wide": b["d_sae"]}
        rate = _hole_rate(pairs)
        rows.append({**place, "part": "rate", "kind": source.at["direction"], **rate})
    trees = sources.get("tree", [])
    rows += [row for tree in trees for row in _of_tree(tree)]
    if not rows:
        return pd.DataFrame()
    edges = stacked(trees, "edges", [*_EDGES, "d_narrow", "d_wide"])
    parts = [pd.DataFrame(rows), *([] if edges.empty else [_children(edges)])]
    found = pd.concat([part for part in parts if len(part)], ignore_index=True)
    return found.sort_values(["part", *_FAMILY, "d_narrow", "d_wide"], ignore_index=True)


def _hole_rate(pairs: pd.DataFrame) -> dict[str, Any]:
    """Mean share of a latent's firings on which its mutual match is silent."""
    kept = pairs[pairs["mutual"] & (pairs["cosine"] >= _COSINE) & (pairs["n_a"] >= _LEAST)]
    holes = 1 - kept["n_match_a"] / kept["n_a"]
    return {"value": holes.mean() if len(kept) else np.nan, "latents": len(kept)}


def _of_tree(tree: Source) -> list[dict[str, Any]]:
    """Per level: mean share of firings that are absorbed, and mean hedging with its null."""
    nodes = tree.table("nodes")
    if nodes.empty:
        return []
    widths = nodes.groupby("level")["d_sae"].first()
    place = {key: tree.at[key] for key in _FAMILY}
    rows = []
    for kind, column in (("absorbed", "absorption_rate"), ("hedging", "hedging")):
        for level, of in nodes[nodes[column].notna()].groupby("level"):
            if level + 1 in widths.index:
                step = {"d_narrow": widths[level], "d_wide": widths[level + 1]}
                null = of["hedging_null"].mean() if kind == "hedging" else np.nan
                means = {"value": of[column].mean(), "null": null, "latents": len(of)}
                rows.append({**place, **step, "part": "rate", "kind": kind, **means})
    return rows


def _children(edges: pd.DataFrame) -> pd.DataFrame:
    """Children that the trees call absorbing or split, on whose firings the parent's match is
    silent, with both ratios.
    """
    kept = edges[
        edges["primary"]
        & (edges["step"] == 1)
        & edges["type"].isin(("absorption", "split"))
        & (edges["subtype"] != "unmixed")
        & (edges["match"] >= 0)
        & (edges["match"] != edges["w"])
        & edges["conservation"].notna()
        & (edges["cosine"] > 0)
    ]
    cosine = kept["cosine"] / kept["match_cosine"]
    return kept[[*_FAMILY, "d_narrow", "d_wide", "n", "w"]].assign(
        part="child",
        kind=kept["type"],
        activation_ratio=kept["conservation"] / cosine,
        cosine_ratio=cosine,
        value=kept["conservation"],
    )


def draw(table: pd.DataFrame, style: FigureStyle) -> Figure:
    """Rates and hedging by step; activation ratio against cosine ratio, and their product."""
    figure, axes = s.panels(style, 4, 2, 0.7)
    rates = table[table["part"] == "rate"]
    _rates(axes[0], rates)
    _hedging(axes[1], rates[rates["kind"] == "hedging"])
    children = table[table["part"] == "child"]
    if len(children):
        _ratios(axes[2], children)
        _products(axes[3], children)
    else:
        for axis in axes[2:]:
            s.say(axis, "no child beside\na silent match")
            axis.set_axis_off()
    kinds = [k for k in s.EDGE_COLOURS if k in set(children["kind"])]
    marks = [
        Line2D([], [], color=s.EDGE_COLOURS[k], marker="o", ls="",
               label=f"{s.words(k)} ({(children['kind'] == k).sum():,})")
        for k in kinds
    ]  # fmt: skip
    marks.append(Line2D([], [], color="#555555", ls="--", lw=1, label="projection conserved"))
    figure.legend(handles=marks, loc="outside lower center", ncols=min(5, len(marks)))
    return figure


def _rates(axis: Axes, rates: pd.DataFrame) -> None:
    looks = {"width": (s.RED, "^"), "seed": (s.BLUE, "o"), "absorbed": (s.ORANGE, "s")}
    for kind, (colour, mark) in looks.items():
        of = rates[rates["kind"] == kind]
        axis.plot(of["d_narrow"], of["value"], mark, color=colour, alpha=0.5, ms=3.5, mew=0)
        mean = of.groupby("d_narrow")["value"].mean()
        axis.plot(mean.index, mean, color=colour, marker=mark, label=_RATES[kind])
    s.width_axis(axis, rates["d_narrow"].tolist(), "width of the narrower")
    axis.set_ylabel("mean share of firings")
    axis.set_ylim(bottom=0)
    axis.legend(loc="best", handlelength=1.2)
    s.finish(axis)


def _hedging(axis: Axes, hedging: pd.DataFrame) -> None:
    if hedging.empty:
        s.say(axis, "no feature with children")
        axis.set_axis_off()
        return
    of = hedging.groupby("d_narrow")[["value", "null"]].mean()
    axis.plot(hedging["d_narrow"], hedging["value"], "D", color=s.GREEN, alpha=0.5, ms=3, mew=0)
    axis.plot(of.index, of["value"], color=s.GREEN, marker="D", label="hedging")
    axis.plot(of.index, of["null"], "_", color=s.GREY, mew=2, ms=12, label="random latents")
    s.width_axis(axis, hedging["d_narrow"].tolist(), "width of the narrower")
    axis.set_ylabel("part of the children in it")
    axis.set_ylim(bottom=0)
    axis.legend(loc="best", handlelength=1.2)
    s.finish(axis)


def _ratios(axis: Axes, children: pd.DataFrame) -> None:
    for kind in reversed(s.EDGE_COLOURS):
        of = children[children["kind"] == kind]
        axis.scatter(
            of["cosine_ratio"], of["activation_ratio"], s=8, lw=0, alpha=0.7,
            color=s.EDGE_COLOURS[kind], rasterized=True,
        )  # fmt: skip
    x, y = children["cosine_ratio"], children["activation_ratio"]
    low, high = max(float(x.min()), _SMALL) * 0.9, float(x.max()) * 1.1
    line = np.geomspace(low, high, 50)
    axis.plot(line, 1 / line, "--", color="#555555", lw=1)
    axis.set_xlim(low, high)
    axis.set_ylim(float(y.min()) * 0.8, max(float(y.max()), 1 / high) * 1.25)
    s.log_ticks(axis, "x")
    s.log_ticks(axis, "y")
    axis.set_xlabel("cosine ratio")
    axis.set_ylabel("activation ratio")
    s.finish(axis)


def _products(axis: Axes, children: pd.DataFrame) -> None:
    common = children["kind"].value_counts()
    for kind in [k for k in s.EDGE_COLOURS if common.get(k, 0) >= 5]:
        of = children.loc[children["kind"] == kind, "value"]
        sns.ecdfplot(x=of, ax=axis, color=s.EDGE_COLOURS[kind])
    axis.axvline(1, ls="--", color="#555555", lw=1)
    axis.set_xscale("log")
    axis.set_xlim(left=max(_SMALL, axis.get_xlim()[0]))
    s.log_ticks(axis, "x")
    axis.set_xlabel("product of the ratios")
    axis.set_ylabel("share of children")
    s.finish(axis)

"""Labelled concepts as probes see them: k-sparse probing, and absorption by width.

There is a panel for each measure that was taken.
"""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from interpsweep.config.pictures import FigureStyle
from interpsweep.figures import style as s
from interpsweep.figures.sources import Sources, stacked

MISSING = "No value of a labelled concept was probed at this site."

_CONCEPTS = 8  # most that are drawn, those with most values
_LABELS = 8  # values named in the scatter
_FAMILY = ["architecture", "sparsity", "seed", "d_sae"]
_MEASURES = {
    "full": "absorbed (projection)",
    "ablated": "absorbed (ablation)",
    "fraction": "absorbed fraction",
    "main": "main latents of a value",
}
_SCORES = {"f1": "F1, held out", "auc": "AUC, held out"}
_BESIDE = {
    "neurons": ("k dimensions", "-"),
    "dense": ("all dimensions", "-."),
    "shuffled": ("shuffled labels", ":"),
}


def table(sources: Sources) -> pd.DataFrame:
    """One row per SAE and value of a concept; with `k`, one per number of latents as well."""
    tables = [stacked(sources.get("probe", []), name) for name in ("values", "sparse")]
    kept = [table for table in tables if len(table)]
    if not kept:
        return tables[0]
    found = pd.concat(kept, ignore_index=True)
    found["k"] = found["k"] if "k" in found else float("nan")
    return found.sort_values([*_FAMILY, "concept", "value", "k"], ignore_index=True)


def draw(table: pd.DataFrame, style: FigureStyle) -> Figure:
    """Every measure by width; values of the widest SAEs, and both methods there if both are."""
    few = table[table["k"].notna()]
    table = table[table["k"].isna()]
    counted = table[table["counts"].fillna(False).astype(bool)] if len(table) else table
    common = counted.groupby("concept")["value"].nunique().sort_values(kind="stable")
    concepts = sorted(common.index[-_CONCEPTS:])
    colours = s.categorical(concepts)
    shown = counted[counted["concept"].isin(concepts)]
    measures = [name for name in _MEASURES if name in shown and shown[name].notna().any()]
    if measures == ["main"]:
        measures = []
    if not measures and few.empty:
        return s.notice(style, "no probe of any value\nis good enough to count")
    whole = [name for name in ("full", "ablated") if name in measures]
    pairs = [("f1_first", name) for name in whole[:1]] + [tuple(whole)] * (len(whole) == 2)
    scores = list(_SCORES) if len(few) else []
    n = len(scores) + len(measures) + len(pairs)
    columns = 3 if n > 4 or n == 3 else 2
    figure, axes = s.panels(style, n, columns, 0.4 + 0.15 * columns)
    for axis, score in zip(axes, scores, strict=False):
        _sparse(axis, few, style, score)
    axes = axes[len(scores) :]
    for axis, name in zip(axes, measures, strict=False):
        _by_width(axis, shown, colours, name)
    widest = shown[shown["d_sae"] == shown["d_sae"].max()]
    for axis, (x, y) in zip(axes[len(measures) :], pairs, strict=True):
        _values(axis, widest, colours, style, x, y)
    marks = [
        Line2D([], [], color=colour, marker="o", label=s.plain(name))
        for name, colour in (colours if measures else {}).items()
    ]
    if measures:
        marks.append(Line2D([], [], color=s.GREY, ls="--", label="random directions"))
    if scores:
        of = s.ramp(sorted(few["d_sae"].unique()))
        marks += [Line2D([], [], color=of[w], marker="o", label=s.count(w)) for w in of]
        marks += [Line2D([], [], color=s.GREY, ls=ls, label=name) for name, ls in _BESIDE.values()]
    figure.legend(handles=marks, loc="outside lower center", ncols=min(4, len(marks)))
    return figure


def _sparse(axis: Axes, few: pd.DataFrame, style: FigureStyle, score: str) -> None:
    """A score by number of latents: means over values, with the spread over seeds, per width."""
    colours = s.ramp(sorted(few["d_sae"].unique()))
    ks = sorted(few["k"].unique())
    place = {k: i for i, k in enumerate(ks)}
    seeds = few.groupby(["d_sae", "seed", "k"])[score].mean().reset_index()
    for width, of in seeds.groupby("d_sae"):
        by_k = of.groupby("k")[score]
        at = [place[k] for k in by_k.mean().index]
        spread = by_k.std().fillna(0)
        axis.errorbar(at, by_k.mean(), spread, color=colours[width], marker="o", ms=3.5, lw=1)
    for other, (_, ls) in _BESIDE.items():
        line = few.groupby("k")[f"{score}_{other}"].mean()
        axis.plot([place[k] for k in line.index], line, ls, color=s.GREY, zorder=0)
    axis.set_xticks(range(len(ks)), [f"{k:.0f}" for k in ks])
    axis.set_xlabel("latents that the probe reads")
    axis.set_ylabel(_SCORES[score])
    axis.set_ylim(0, 1.03)
    s.finish(axis)


def _by_width(axis: Axes, shown: pd.DataFrame, colours: dict, column: str) -> None:
    """Means over the values of each concept, and over SAEs of a width."""
    widths = shown["d_sae"].tolist()
    for concept, of in shown.groupby("concept"):
        means = of.groupby(_FAMILY)[column].mean().reset_index()
        axis.plot(
            means["d_sae"], means[column], "o", color=colours[concept], alpha=0.4, ms=3, mew=0
        )
        line = means.groupby("d_sae")[column].mean()
        axis.plot(line.index, line, color=colours[concept], marker="o", ms=3.5)
    if f"{column}_null" in shown:
        null = shown.groupby("d_sae")[f"{column}_null"].mean()
        axis.plot(null.index, null, "--", color=s.GREY)
    s.width_axis(axis, widths)
    axis.set_ylabel(_MEASURES[column])
    axis.set_ylim(bottom=0)
    s.finish(axis)


def _values(
    axis: Axes, widest: pd.DataFrame, colours: dict, style: FigureStyle, x: str, y: str
) -> None:
    """Each value of the widest SAEs: how well its first latent finds it, and what is absorbed."""
    at = ["concept", "value", "label"]
    means = widest.groupby(at)[[x, y]].mean().dropna().reset_index()
    if x in _MEASURES:
        axis.axline((0, 0), slope=1, color=s.GREY, lw=0.8, zorder=0)
    for concept, of in means.groupby("concept"):
        axis.plot(of[x], of[y], "o", color=colours[concept], ms=4, mew=0, alpha=0.8)
    most = means.sort_values(y, kind="stable").tail(_LABELS)
    most = most[most[y] > 0]
    for label, right, up in zip(most["label"], most[x], most[y], strict=True):
        axis.annotate(
            s.plain(label, 14), (right, up), xytext=(3, 2),
            textcoords="offset points", fontsize=style.font_size * 0.7, color="#444444",
        )  # fmt: skip
    if x == "f1_first":
        axis.set_xlim(-0.03, 1.03)
    else:
        axis.set_xlim(left=-0.01)
    axis.set_ylim(bottom=-0.01)
    axis.set_xlabel(_MEASURES.get(x, "F1 of the first main latent"))
    axis.set_ylabel(_MEASURES[y])
    s.finish(axis)

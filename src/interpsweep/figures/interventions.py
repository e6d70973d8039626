"""What a model answers when a value in its activations is changed, site by site."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from interpsweep.config.pictures import FigureStyle
from interpsweep.figures import style as s
from interpsweep.figures.sources import Sources, stacked

MISSING = "No concept was acted on in this sweep."

_PANELS = {False: "shifted answer", True: "lost to ablation"}  # of ablations, or of shifts
_LOOKS = {
    ("means", False): (s.BLUE, "o", "class means, plane or line"),
    ("means", True): (s.BLUE, "s", "class means, all that differs"),
    ("latents", False): (s.ORANGE, "o", "latents, plane or line"),
    ("latents", True): (s.ORANGE, "s", "latents, their span"),
}


def table(sources: Sources) -> pd.DataFrame:
    """One row per site or SAE, concept, subspace and action."""
    return stacked(sources.get("intervene", []), "effects")


def draw(table: pd.DataFrame, style: FigureStyle) -> Figure:
    """A row of panels for each concept: answers that follow a shift, answers that an ablation
    costs; both in shares of the model's own accuracy.
    """
    share = table["accuracy"].where(table["accuracy"] > 0)
    table = table.assign(
        share=table["effect"] / share,
        null=table["null_high"] / share,
        ablated=table["action"] == "ablate",
        whole=table["space"] == "span",
    )
    done = [ablated for ablated in _PANELS if (table["ablated"] == ablated).any()]
    concepts = sorted(table["concept"].unique())[: max(1, style.max_panels // len(done))]
    sites = s.order_sites(table)
    cells = [(concept, ablated) for concept in concepts for ablated in done]
    across = len(done) if len(done) > 1 else 2
    figure, axes = s.panels(style, len(cells), across, aspect=0.62)
    for i, (axis, (concept, ablated)) in enumerate(zip(axes, cells, strict=True)):
        _panel(axis, table[(table.concept == concept) & (table.ablated == ablated)], sites)
        axis.set_title(f"{s.plain(s.words(concept), 18)}: {_PANELS[ablated]}", pad=4)
        if i % across == 0:
            axis.set_ylabel("share")
    _name_sites(axes[-across:], sites, table["model"].nunique() > 1)
    marks = [
        Line2D([], [], color=colour, marker=marker, ls="", label=label)
        for colour, marker, label in _LOOKS.values()
    ]
    marks.append(Line2D([], [], color=s.GREY, marker="_", ls="", label="95 % of random directions"))
    figure.legend(handles=marks, loc="outside lower center", ncols=2)
    return figure


def _panel(axis: Axes, of: pd.DataFrame, sites: Sequence[tuple[str, str]]) -> None:
    """Mean over steps and SAEs, and each of them; grey what random directions reach."""
    axis.axhline(1.0, color=s.GREY, lw=0.8, zorder=0)
    for i, (key, (colour, marker, _)) in enumerate(_LOOKS.items()):
        mine = of[(of["source"] == key[0]) & (of["whole"] == key[1])]
        for place, (model, site) in enumerate(sites):
            here = mine[(mine["model"] == model) & (mine["site"] == site)]
            if here.empty:
                continue
            x = place + 0.16 * (i - 1.5)
            axis.plot([x] * len(here), here["null"], "_", color=s.GREY, ms=6, zorder=1)
            axis.plot([x] * len(here), here["share"], marker, color=colour, ms=3, mew=0, alpha=0.4)
            axis.plot([x], [here["share"].mean()], marker, color=colour, ms=6, mec="white", mew=0.5)
    axis.set_xlim(-0.5, len(sites) - 0.5)
    axis.set_xticks(range(len(sites)), [""] * len(sites))
    axis.set_ylim(min(-0.05, float(of["share"].min()) - 0.05), max(1.1, float(of["share"].max())))
    s.finish(axis)


def _name_sites(axes: Sequence[Axes], sites: Sequence[tuple[str, str]], several: bool) -> None:
    names = [s.site_title(model, site, several) for model, site in sites]
    for axis in axes:
        axis.set_xticks(range(len(sites)), names, rotation=30, ha="right")

"""House style: one look for every figure, and helpers that keep text and colour consistent."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from interpsweep.config.pictures import FigureStyle
from interpsweep.config.sites import depth

# Okabe and Ito's palette: told apart under the common forms of colour blindness.
ORANGE, SKY, GREEN, YELLOW = "#E69F00", "#56B4E9", "#009E73", "#F0E442"
BLUE, RED, PINK, GREY = "#0072B2", "#D55E00", "#CC79A7", "#9A9A9A"
GROUP = ["model", "site", "architecture", "sparsity"]  # a family without its seed
INK, PALE = "#222222", "#D9D9D9"
CATEGORICAL = (BLUE, ORANGE, GREEN, PINK, RED, SKY, "#7A5195", "#8C6D31", GREY, YELLOW)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
DASHES = ("-", "--", "-.", (0, (1, 1)), (0, (5, 1, 1, 1, 1, 1)))

# One colour per type of edge, the same in every figure and in the atlas; in reading order.
EDGE_COLOURS = {
    "identity": BLUE,
    "identity_with_holes": SKY,
    "absorption": RED,
    "split": ORANGE,
    "specialisation": GREEN,
    "composition": "#7A5195",
    "merge": "#8C6D31",
    "novel": PINK,
    "other": GREY,
    "rare": PALE,
}

# One colour per shape of the census; "unresolved" passed some test but no shape fits best.
SHAPE_COLOURS = {
    "circle": RED,
    "line": BLUE,
    "tree": GREEN,
    "torus": PINK,
    "sphere": SKY,
    "helix": "#7A5195",
    "grid": "#8C6D31",
    "polytope": YELLOW,
    "simplex": ORANGE,
    "unresolved": "#6B6B6B",
    "": PALE,
}


@contextmanager
def house(style: FigureStyle) -> Iterator[None]:
    """Apply the style for the figures drawn inside; restores everything afterwards."""
    small = style.font_size * 0.85
    settings = {
        "font.family": [style.font],
        "font.size": style.font_size,
        "axes.titlesize": style.font_size,
        "axes.labelsize": style.font_size,
        "xtick.labelsize": small,
        "ytick.labelsize": small,
        "legend.fontsize": small,
        "legend.title_fontsize": small,
        "figure.titlesize": style.font_size * 1.1,
        "axes.titlelocation": "left",
        "axes.edgecolor": INK,
        "axes.linewidth": 0.6,
        "xtick.major.size": 3.0,
        "ytick.major.size": 3.0,
        "xtick.minor.size": 1.8,
        "ytick.minor.size": 1.8,
        "xtick.major.width": 0.6,
        "ytick.major.width": 0.6,
        "xtick.minor.width": 0.4,
        "ytick.minor.width": 0.4,
        "lines.linewidth": 1.3,
        "lines.markersize": 4.5,
        "legend.frameon": False,
        "figure.constrained_layout.use": True,
        "savefig.dpi": style.dpi,
        "svg.fonttype": "none",  # text stays text: searchable, and editable for a paper
        "svg.hashsalt": "interpsweep",  # element names depend on the content alone
    }
    with plt.rc_context(), warnings.catch_warnings():
        # Tokens may be in scripts the font lacks; a browser finds another font for the SVG.
        warnings.filterwarnings("ignore", message=".*Glyph .* missing from font.*")
        sns.set_theme(style="ticks", rc=settings)
        try:
            yield
        finally:
            plt.close("all")


def plain(text: object, limit: int = 40) -> str:
    """Any string as one line of literal text: no mathematics, no control characters, cut short."""
    line = "".join(c if c.isprintable() else "↵" if c == "\n" else " " for c in str(text)).strip()
    if len(line) > limit:
        line = line[: limit - 1] + "…"
    return line.replace("$", r"\$")


def short_site(site: object) -> str:
    """``blocks.8.hook_resid_pre`` as ``layer 8 resid_pre``; other names unchanged."""
    parts = str(site).split(".")
    if len(parts) >= 3 and parts[0] == "blocks" and parts[1].isdigit():
        return plain(f"layer {parts[1]} " + ".".join(parts[2:]).replace("hook_", ""))
    return plain(site)


def order_sites(table: pd.DataFrame) -> list[tuple[str, str]]:
    """The (model, site) pairs of `table`, by model, then layer (embeddings first), then name."""

    def key(pair: tuple[str, str]) -> tuple[str, float, list[tuple[int, str]]]:
        pieces = [(int(p), "") if p.isdigit() else (-1, p) for p in pair[1].split(".")]
        return pair[0], depth(pair[1]), pieces

    pairs = table[["model", "site"]].astype(str).drop_duplicates()
    return sorted(pairs.itertuples(index=False, name=None), key=key)


def site_title(model: object, site: object, several_models: bool) -> str:
    """Panel title of a site; the model is named only where the figure holds several."""
    return f"{plain(model, 24)}, {short_site(site)}" if several_models else short_site(site)


def order_groups(table: pd.DataFrame) -> list[tuple]:
    """The (model, site, architecture, sparsity) groups of `table` in reading order."""
    sites = {pair: i for i, pair in enumerate(order_sites(table))}
    groups = table.groupby(GROUP, sort=False).groups
    return sorted(groups, key=lambda g: (sites[g[0], g[1]], str(g[2]), float(g[3])))


def in_group(table: pd.DataFrame, group: tuple) -> pd.DataFrame:
    """The rows of `table` that belong to a group."""
    return table[(table[GROUP] == list(group)).all(axis=1)]


def group_title(table: pd.DataFrame, group: tuple) -> str:
    """Panel title of a group; only what differs within the figure is named."""
    title = site_title(group[0], group[1], table["model"].nunique() > 1)
    if len(table[GROUP[2:]].drop_duplicates()) > 1:
        title += "\n" + plain(f"{group[2]} {group[3]:g}")
    return title


def evenly(items: Sequence, most: int) -> list:
    """At most `most` of `items`, evenly spread, first and last included."""
    if len(items) <= most:
        return list(items)
    if most == 1:
        return [items[0]]
    return [items[round(i * (len(items) - 1) / (most - 1))] for i in range(most)]


def ramp(values: Sequence) -> dict:
    """Ordered values (widths, layers) -> colours from light to dark; both ends stay readable."""
    if len(values) == 1:
        return {values[0]: BLUE}
    colours = sns.color_palette("viridis_r", as_cmap=True)
    return {v: colours(0.12 + 0.83 * i / (len(values) - 1)) for i, v in enumerate(values)}


def categorical(values: Sequence) -> dict:
    """Unordered values -> colours; more than ten values start again with the first colour."""
    return {v: CATEGORICAL[i % len(CATEGORICAL)] for i, v in enumerate(values)}


def looks(values: Sequence) -> dict:
    """Unordered values -> (marker, line style), where colour says something else."""
    return {v: (MARKERS[i % len(MARKERS)], DASHES[i % len(DASHES)]) for i, v in enumerate(values)}


def words(name: str) -> str:
    """A column or type name as words: ``identity_with_holes`` -> ``identity with holes``."""
    return name.replace("_", " ")


def panels(
    style: FigureStyle, count: int, columns: int, aspect: float = 0.8, **kwargs: Any
) -> tuple[Figure, list[Axes]]:
    """A grid of `count` panels, `columns` wide; `aspect` is height over width of a panel."""
    columns = max(1, min(columns, count))
    rows = math.ceil(count / columns)
    height = rows * style.width / columns * aspect
    figure, axes = plt.subplots(
        rows, columns, figsize=(style.width, height), squeeze=False, **kwargs
    )
    flat = list(axes.flat)
    for spare in flat[count:]:
        spare.set_visible(False)
    for lowest in flat[max(0, count - columns) : count]:  # shared axes label the last row only
        lowest.tick_params(labelbottom=True)
    return figure, flat[:count]


def notice(style: FigureStyle, text: str) -> Figure:
    """A figure that says in words why there is nothing to draw."""
    figure = plt.figure(figsize=(style.width, 1.2))
    figure.text(0.5, 0.5, text, ha="center", va="center", wrap=True, color="#555555")
    return figure


def width_axis(axis: Axes, widths: Sequence[int], name: str = "dictionary width (latents)") -> None:
    """A logarithmic axis over dictionary widths, labelled at the widths themselves."""
    axis.set_xscale("log", base=2)
    shown = evenly(sorted(set(widths)), 6)
    axis.set_xticks(shown, [count(w) for w in shown])
    axis.xaxis.set_minor_locator(matplotlib.ticker.NullLocator())
    if len(set(widths)) == 1:
        axis.set_xlim(shown[0] / 2, shown[0] * 2)
    axis.set_xlabel(name)


def count(number: float) -> str:
    """A width in short: 512, 4k (4,096), 24k (24,576), 1M; other numbers as they are (1,500)."""
    number = int(number)
    for size, unit in ((1 << 20, "M"), (1 << 10, "k")):
        if number >= size and number % size == 0:
            return f"{number // size}{unit}"
    return f"{number:,}"


def tokens(number: float) -> str:
    """A number of tokens: 500k, 1.5M, 2B."""
    for size, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return (
                f"{number / size:.2g}{unit}" if number < 10 * size else f"{number / size:.0f}{unit}"
            )
    return f"{number:.0f}"


def log_ticks(axis: Axes, which: str) -> None:
    """A logarithmic x or y axis with plain numbers at 1, 2, 5 (fewer over many decades)."""
    (axis.set_xscale if which == "x" else axis.set_yscale)("log")
    line = axis.xaxis if which == "x" else axis.yaxis
    low, high = sorted(line.get_view_interval())
    decades = math.log10(high / low) if low > 0 else 9.0
    subs = (1.0, 2.0, 5.0) if decades < 2.5 else (1.0,)
    line.set_major_locator(matplotlib.ticker.LogLocator(subs=subs))
    line.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda v, _: f"{v:g}"))
    line.set_minor_formatter(matplotlib.ticker.NullFormatter())


def plane(axis: Axes, x: Sequence[float], y: Sequence[float], room: float = 0.42) -> None:
    """A square panel with equal scales and no ticks, with `room` around the points for labels."""
    axis.set_xticks([])
    axis.set_yticks([])
    for side in axis.spines.values():
        side.set_color(PALE)
    axis.set_box_aspect(1)
    if len(x) == 0:
        return
    half = max(max(x) - min(x), max(y) - min(y)) / 2 * (1 + room) or 1.0
    for limit, values in ((axis.set_xlim, x), (axis.set_ylim, y)):
        middle = (max(values) + min(values)) / 2
        limit(middle - half, middle + half)


def label_points(
    axis: Axes, x: Iterable[float], y: Iterable[float], texts: Iterable[object], size: float
) -> None:
    """Label points beside them, away from their middle, where the label covers no other.

    The panel must have its final place (``figure.draw_without_rendering()``). Earlier points come
    first; a label for which there is no room is left out.
    """
    points = axis.transData.transform(list(zip(x, y, strict=True)))
    points = points * 72 / axis.figure.dpi  # pixels -> typographic points
    middle = points.mean(axis=0)
    taken = [(px - 2.0, py - 2.0, px + 2.0, py + 2.0) for px, py in points]
    for (px, py), text in zip(points, texts, strict=True):
        words = plain(text, 12)
        wide, high = 0.56 * size * len(words), 0.95 * size
        outward = math.atan2(py - middle[1], px - middle[0])
        for reach, turn in _TRIES:
            angle = outward + turn
            cx = px + math.cos(angle) * (reach + wide / 2)
            cy = py + math.sin(angle) * (reach + high / 2)
            box = (cx - wide / 2, cy - high / 2, cx + wide / 2, cy + high / 2)
            if not any(_overlap(box, other) for other in taken):
                taken.append(box)
                note = axis.annotate(
                    words,
                    (px, py),
                    (cx, cy),
                    xycoords="figure points",
                    textcoords="figure points",
                    ha="center",
                    va="center",
                    fontsize=size,
                )
                note.set_in_layout(False)
                break


# (distance in points, turn from the outward direction) in the order they are tried
_TRIES = [
    (reach, turn)
    for reach in (3.5, 8.0)
    for turn in (0.0, 0.5, -0.5, 1.0, -1.0, 1.57, -1.57, 2.2, -2.2, math.pi)
]


def _overlap(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def say(axis: Axes, text: str) -> None:
    """Words in the middle of a panel that has nothing to show."""
    axis.text(0.5, 0.5, text, transform=axis.transAxes, ha="center", va="center", color="#555555")


def finish(axis: Axes) -> None:
    """Drop the frame's top and right lines."""
    sns.despine(ax=axis)


def legend_outside(figure: Figure, handles: Sequence, title: str | None = None) -> None:
    """One legend for the whole figure, to its right, where it can never cover data."""
    figure.legend(handles=list(handles), loc="outside right upper", title=title)

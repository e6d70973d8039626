"""Stage ``figures``: one item is one figure, with the table behind it and its caption.

Every figure has a module with two functions: ``table(sources)`` gathers the numbers (tidy, one
row per mark) and ``draw(table, style)`` draws them. The picture is made from the table alone, so
the table that lies beside a figure is everything one needs to draw it differently.
"""

from __future__ import annotations

import importlib
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from matplotlib.figure import Figure as Drawing

from interpsweep.config.figures import FIGURES, Figure
from interpsweep.config.pictures import DrawSettings, FigureStyle
from interpsweep.errors import UserError, nearest
from interpsweep.figures import style as house_style
from interpsweep.figures.sources import Sources
from interpsweep.sources import gather
from interpsweep.stages import STAGES
from interpsweep.tables import write_parquet

CAPTIONS = Path(__file__).parent / "captions"


def run(spec: dict[str, Any], inputs: dict[str, Any], out: Path, ctx: Any) -> dict[str, Any]:
    """Write figure.svg, figure.png, data.parquet, data.csv and caption.md; return their size."""
    settings = DrawSettings(**spec["settings"])
    if settings.figure not in FIGURES:
        hint = nearest(settings.figure, FIGURES)
        raise UserError(f"no figure is called {settings.figure!r}{hint}")
    figure = FIGURES[settings.figure]
    sources = gather(spec, inputs)
    module = importlib.import_module(figure.module)
    with house_style.house(settings.style):
        table = module.table(sources)
        drawing = picture(module, table, settings.style)
        save(drawing, out)
    write_parquet(table, out / "data.parquet")
    (out / "data.csv").write_text(as_csv(table), encoding="utf-8", newline="")
    text = caption(figure, table, settings.style, where(sources)) + without(settings.missing)
    (out / "caption.md").write_text(text, encoding="utf-8")
    return {"figure": figure.name, "rows": len(table)}


def picture(module: Any, table: pd.DataFrame, style: FigureStyle) -> Drawing:
    """The figure, or a plain notice of what is missing where the table is empty."""
    if table.empty:
        return house_style.notice(style, module.MISSING)
    return module.draw(table, style)


def save(drawing: Drawing, out: Path) -> None:
    """SVG and PNG without dates or versions, so equal tables give equal files."""
    drawing.savefig(out / "figure.svg", metadata={"Date": None, "Creator": None})
    drawing.savefig(out / "figure.png", metadata={"Software": None})


def as_csv(table: pd.DataFrame) -> str:
    """CSV with full precision; list columns become ``a|b|c``."""
    flat = table.copy()
    for name in flat.columns:
        if flat[name].map(lambda v: isinstance(v, list | tuple) or hasattr(v, "tolist")).any():
            flat[name] = flat[name].map(_joined)
    buffer = io.StringIO()
    flat.to_csv(buffer, index=False, lineterminator="\n")
    return buffer.getvalue()


def _joined(value: Any) -> Any:
    return (
        "|".join(map(str, value))
        if hasattr(value, "__iter__") and not isinstance(value, str)
        else value
    )


def where(sources: Sources) -> str:
    """The part of the sweep that all inputs share, in words: model, site, family."""
    shared: dict[str, set[str]] = {}
    for source in (s for items in sources.values() for s in items):
        for key in ("model", "site", "architecture", "sparsity", "seed"):
            if source.at.get(key) is not None:
                shared.setdefault(key, set()).add(str(source.at[key]))
    return ", ".join(
        f"{key} {next(iter(values))}" for key, values in shared.items() if len(values) == 1
    )


def without(missing: Sequence[Mapping[str, Any]]) -> str:
    """The paragraph of a caption that says what the figure lacks; "" if nothing."""
    if not missing:
        return ""
    counts = Counter(str(one["stage"]) for one in missing)
    what = ", ".join(f"{counts[s]} {STAGES[s].noun}" for s in STAGES if counts[s])
    return f"\nNot in it, since they could not be made: {what}. The atlas says why.\n"


def caption(figure: Figure, table: pd.DataFrame, style: FigureStyle, place: str) -> str:
    """Fill in the caption template (Markdown)."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(CAPTIONS),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # Markdown text; whoever turns it into HTML escapes it
    )
    template = environment.get_template(figure.caption)
    body = template.render(table=table, style=style, empty=table.empty)
    paragraphs = [" ".join(part.split()) for part in body.split("\n\n") if part.strip()]
    head = f"**{figure.title}.**" + (f" {place}." if place else "")
    return "\n\n".join([head, *paragraphs]) + "\n"

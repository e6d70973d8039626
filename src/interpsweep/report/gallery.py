"""The figures of a sweep, embedded for a page that needs nothing from outside."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote

from markupsafe import Markup

from interpsweep.config.figures import FIGURES, Figure
from interpsweep.report.text import paragraphs
from interpsweep.sources import Source
from interpsweep.store.layout import MANIFEST
from interpsweep.store.seal import read_manifest

_LARGEST_SVG = 600_000  # bytes; a larger drawing is embedded as PNG
_LARGEST_CSV = 100_000  # bytes; a larger table is named, not embedded


@dataclass(frozen=True)
class Picture:
    """One figure as the page shows it."""

    name: str  # unique, safe as an HTML id and as a folder name in the bundle
    figure: Figure
    place: str  # model, site, family; "" for figures of the whole sweep
    image: str  # data URI
    caption: Markup
    csv: str  # data URI, or "" where the table is too large
    rows: int
    empty: bool


def pictures(sources: Iterable[Source]) -> list[Picture]:
    """All figures in reading order."""
    made = [_picture(source) for source in sources]
    order = {name: i for i, name in enumerate(FIGURES)}
    return [p for _, p in sorted(made, key=lambda pair: (order[pair[1].figure.name], pair[0]))]


def picture_name(source: Source) -> str:
    """A readable, unique name of a figure item: ``forest-blocks.8.hook_resid_post-topk-32-0``."""
    keys = ("figure", "model", "site", "architecture", "sparsity", "seed")
    parts = [str(source.at[k]) for k in keys if source.at.get(k) is not None]
    return "-".join(parts)


def _picture(source: Source) -> tuple[tuple, Picture]:
    at = source.at
    keys = ("model", "site", "architecture", "sparsity", "seed")
    known = [(k, at[k]) for k in keys if at.get(k) is not None]
    shown = [f"{k} {v}" if k in ("sparsity", "seed") else str(v) for k, v in known]
    rows = read_manifest(source.path / MANIFEST)["metrics"]["rows"]
    made = Picture(
        name=picture_name(source),
        figure=FIGURES[str(at["figure"])],
        place=" · ".join(shown),
        image=_image(source),
        caption=_caption(source),
        csv=_csv(source),
        rows=rows,
        empty=rows == 0,
    )
    rank = (str(at.get("model", "")), at.get("layer", -1), str(at.get("site", "")), made.name)
    return rank, made


def _image(source: Source) -> str:
    svg = (source.path / "figure.svg").read_text(encoding="utf-8")
    if len(svg) <= _LARGEST_SVG:
        svg = svg[svg.index("<svg") :]  # an image needs neither XML prologue nor DTD
        return "data:image/svg+xml," + quote(svg, safe=" =:/,;()'@!*~.-_")
    png = base64.b64encode((source.path / "figure.png").read_bytes()).decode()
    return f"data:image/png;base64,{png}"


def _caption(source: Source) -> Markup:
    """The caption without its first paragraph, which repeats title and place."""
    text = (source.path / "caption.md").read_text(encoding="utf-8")
    return paragraphs(text.split("\n\n", 1)[-1])


def _csv(source: Source) -> str:
    text = (source.path / "data.csv").read_text(encoding="utf-8")
    return "data:text/csv;charset=utf-8," + quote(text) if len(text) <= _LARGEST_CSV else ""

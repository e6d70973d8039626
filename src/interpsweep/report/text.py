"""Numbers and small pieces of Markdown as text for people."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd
from markupsafe import Markup, escape


def number(value: Any, digits: int = 3) -> str:
    """A number in few digits; a missing one is a dash."""
    if value is None or (not isinstance(value, str) and pd.isna(value)):
        return "–"
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or str(value) in ("True", "False"):
        return "yes" if value else "no"
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}"
    if abs(value) < 1e-3:
        return f"{value:.0e}".replace("e-0", "e-")
    return f"{value:.{digits}g}"


def share(value: float) -> str:
    """A share as a percentage: 12%, 0.4%, 0.04%."""
    if pd.isna(value):
        return "–"
    percent = 100 * value
    if 0 < percent < 0.095:
        return f"{percent:.1g}%"
    return f"{percent:.0f}%" if percent >= 10 or percent == 0 else f"{percent:.1f}%"


def plural(count: int, noun: str, many: str = "") -> str:
    """``1 seed``, ``2 seeds``, ``2 dictionaries``."""
    return f"{count:,} {noun if count == 1 else many or noun + 's'}"


def listing(values: list[Any], most: int = 8) -> str:
    """``a, b and c``; of very many only the first, with the number of the others."""
    words = [str(v) for v in values]
    if len(words) > most:
        words = [*words[: most - 1], f"{len(words) - most + 1} more"]
    return (
        words[0]
        if len(words) == 1
        else ", ".join(words[:-1]) + f" and {words[-1]}"
        if words
        else "none"
    )


def paragraphs(markdown: str) -> Markup:
    """Paragraphs with **bold** parts as HTML; everything else is escaped."""
    parts = [part for part in re.split(r"\n\s*\n", markdown.strip()) if part]
    return Markup("").join(Markup("<p>{}</p>\n").format(_bold(part)) for part in parts)


def _bold(text: str) -> Markup:
    pieces = re.split(r"\*\*(.+?)\*\*", " ".join(text.split()))
    return Markup("").join(
        Markup("<strong>{}</strong>").format(piece) if i % 2 else escape(piece)
        for i, piece in enumerate(pieces)
    )

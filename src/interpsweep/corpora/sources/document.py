"""What every source yields."""

from __future__ import annotations

from typing import NamedTuple


class Span(NamedTuple):
    """Characters start .. stop of a document stand for `value` (an index) of `concept`."""

    start: int
    stop: int
    concept: str
    value: int


class Document(NamedTuple):
    """One text, with the labelled spans in it. A document lies in one split only."""

    text: str
    spans: tuple[Span, ...] = ()

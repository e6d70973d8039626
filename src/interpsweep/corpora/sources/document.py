"""What every source yields, and the policy for what is no text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
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


def readable(texts: Iterable[str | None], tally: Counter[str]) -> Iterator[Document]:
    """The texts as documents: null and blank ones are left out, lone surrogates replaced.

    `tally` counts each, as ``null``, ``blank`` and ``mended``.
    """
    for text in texts:
        if text is None:
            tally["null"] += 1
        elif not text.strip():
            tally["blank"] += 1
        else:
            sound = mended(text)
            tally["mended"] += sound != text
            yield Document(sound)


def mended(text: str) -> str:
    """The text as one that can be encoded: halves of a surrogate pair joined, single ones U+FFFD.

    JSON can write them, and so can Python's source code; no tokenizer takes them.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text

"""Sentences with a slot, from the shipped lists: text with labels that are known.

A sentence is an opening, a sentence form of the slot, and a closing. All combinations are
enumerated by number, so drawing without repetition needs no table of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from ruamel.yaml import YAML

from interpsweep.corpora.identity import DATA, FRAME, slot_files
from interpsweep.corpora.sources.document import Document, Span


@dataclass(frozen=True)
class Slot:
    """A kind of slot: values in their order, the shape they are known to have, sentences."""

    name: str
    shape: str
    values: tuple[str, ...]
    sentences: tuple[str, ...]
    openings: tuple[str, ...]
    closings: tuple[str, ...]

    @cached_property
    def size(self) -> int:
        """Number of different sentences."""
        return len(self.sentences) * len(self.values) * len(self.openings) * len(self.closings)

    def document(self, number: int) -> Document:
        """Sentence `number` of `size`."""
        number, value = divmod(number, len(self.values))
        number, form = divmod(number, len(self.sentences))
        closing, opening = divmod(number, len(self.openings))
        before, after = self.sentences[form].split("{}")
        lead = self.openings[opening]
        # after an opening ("According to the letter, ") the sentence goes on in lower case
        head = lead + before[:1].lower() + before[1:] if lead else before
        word = self.values[value]
        if not head:
            word = word[:1].upper() + word[1:]
        text = head + word + after + self.closings[closing]
        return Document(text, (Span(len(head), len(head) + len(word), self.name, value),))


def slots(wanted: tuple[str, ...] = ()) -> list[Slot]:
    """The shipped slots called `wanted` (none: all), in the order of their names."""
    frame = _yaml(DATA / FRAME)
    return [_slot(name, _yaml(file), frame) for name, file in slot_files(wanted).items()]


def _slot(name: str, data: dict[str, Any], frame: dict[str, Any]) -> Slot:
    return Slot(
        name=name,
        shape=data["shape"],
        values=tuple(data["values"]),
        sentences=tuple(data["sentences"]),
        openings=tuple(frame["openings"]),
        closings=tuple(frame["closings"]),
    )


def _yaml(path: Path) -> Any:
    return YAML(typ="safe", pure=True).load(path)


def concepts(wanted: tuple[str, ...] = ()) -> dict[str, dict]:
    """The slots as concepts of `corpus.json`."""
    return {
        slot.name: {
            "shape": slot.shape,
            "values": list(slot.values),
            "parent": None,
            "parent_of": None,
        }
        for slot in slots(wanted)
    }


def documents(wanted: tuple[str, ...], seed: int) -> Iterator[Document]:
    """Different sentences, the slots taking turns until each has given all it has."""
    chosen = slots(wanted)
    orders = [
        np.random.default_rng([seed, 3, i]).permutation(slot.size) for i, slot in enumerate(chosen)
    ]
    for turn in range(max(slot.size for slot in chosen)):
        for slot, order in zip(chosen, orders, strict=True):
            if turn < slot.size:
                yield slot.document(int(order[turn]))

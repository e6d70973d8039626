"""Sentences with a slot, from the shipped lists: text with labels that are known.

A sentence is an opening, a sentence form of the slot, and a closing. They are drawn in rounds: in
each round every value stands in every form once, so values and forms are balanced; the frame of
opening and closing is another one in every round, so no sentence comes twice.

A list says its `shape`, its `values` and `sentences`; `sentences_of` borrows those of another list
instead, `pair_of` names the list whose values are the partners of its own, in the same order.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from ruamel.yaml import YAML

from interpsweep.corpora.identity import DATA, FRAME, slot_files
from interpsweep.corpora.sources.document import Document, Span


@dataclass(frozen=True)
class Slot:
    """A kind of slot: values in their order, the shape they are known to have, sentences.

    The values of the slot called `pair_of` are the partners of its own, one by one.
    """

    name: str
    shape: str
    values: tuple[str, ...]
    sentences: tuple[str, ...]
    openings: tuple[str, ...]
    closings: tuple[str, ...]
    pair_of: str | None = None

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


def drawn(slot: Slot, rng: np.random.Generator) -> Iterator[int]:
    """Every number of a slot's sentences once, in rounds; see the module's docstring."""
    cells = len(slot.values) * len(slot.sentences)
    frames = rng.permuted(np.tile(np.arange(slot.size // cells), (cells, 1)), axis=1)
    for turn in range(slot.size // cells):
        for cell in rng.permutation(cells).tolist():
            yield cell + cells * int(frames[cell, turn])


def slots(wanted: tuple[str, ...] = ()) -> list[Slot]:
    """The shipped slots called `wanted` (none: all), in the order of their names."""
    frame = _yaml(DATA / FRAME)
    return [_slot(name, _yaml(file), frame) for name, file in slot_files(wanted).items()]


def _slot(name: str, data: dict[str, Any], frame: dict[str, Any]) -> Slot:
    borrowed = data.get("sentences_of")
    return Slot(
        name=name,
        shape=data["shape"],
        values=tuple(data["values"]),
        sentences=tuple((_yaml(DATA / f"{borrowed}.yaml") if borrowed else data)["sentences"]),
        openings=tuple(frame["openings"]),
        closings=tuple(frame["closings"]),
        pair_of=data.get("pair_of"),
    )


def _yaml(path: Path) -> Any:
    return YAML(typ="safe", pure=True).load(path)


def concepts(wanted: tuple[str, ...] = ()) -> dict[str, dict]:
    """The slots as concepts of `corpus.json`; a pair is one if both its lists are wanted."""
    chosen = slots(wanted)
    names = {slot.name for slot in chosen}
    return {
        slot.name: {
            "shape": slot.shape,
            "values": list(slot.values),
            "parent": None,
            "parent_of": None,
            **({"pair_of": slot.pair_of} if slot.pair_of in names else {}),
        }
        for slot in chosen
    }


def documents(wanted: tuple[str, ...], seed: int) -> Iterator[Document]:
    """Different sentences, the slots taking turns until each has given all it has."""
    chosen = slots(wanted)
    orders = [drawn(slot, np.random.default_rng([seed, 3, i])) for i, slot in enumerate(chosen)]
    for turn in zip_longest(*orders):
        for slot, number in zip(chosen, turn, strict=True):
            if number is not None:
                yield slot.document(number)

"""The tokens behind rows of activations: their text and their labels, read once for a range."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


class Tokens:
    """Text and labels of the tokens behind the activation rows [first, last).

    Positions are row numbers counted from `first`, the way codes count them.
    """

    def __init__(self, corpus: Any, activations: Any, first: int, last: int) -> None:
        self.concepts: dict[str, dict[str, Any]] = corpus.concepts
        self.flat: Ints = np.asarray(activations.token(first, last), np.int64)
        self.context = np.asarray(activations.context(first, last))
        self._from = int(self.flat.min()) if len(self.flat) else 0
        until = int(self.flat.max()) + 1 if len(self.flat) else 0
        # whole contexts, so that windows reach as far as they may
        edges = corpus.offsets
        begin = int(edges[max(np.searchsorted(edges, self._from, side="right") - 1, 0)])
        end = int(edges[min(np.searchsorted(edges, until, side="left"), len(edges) - 1)])
        self._from, self._edges = begin, edges
        self._ids = corpus.flat(begin, end)
        self._special = corpus.special[begin:end]
        self._words: list[str] = corpus.vocabulary
        self._labels = {name: corpus.label(name)[self.flat] for name in self.concepts}

    def label(self, concept: str, rows: Ints | slice = slice(None)) -> NDArray[np.int16]:
        """Label of each row for a concept, -1 = none."""
        return self._labels[concept][rows]

    def ids(self, rows: Ints | slice = slice(None)) -> NDArray[np.int32]:
        """Token id of each row."""
        return self._ids[self.flat[rows] - self._from]

    def word(self, row: int) -> str:
        """Readable string of one row's token."""
        return self._words[int(self._ids[self.flat[row] - self._from])].strip()

    def named(self, ids: Ints) -> list[tuple[str, int, str]]:
        """(concept, value, its label) that most tokens of each kind carry; ("", -1, "") if none.

        Of concepts with equal shares the one with most values counts.
        """
        every, made = self.ids(), []
        for kind in ids:
            rows = np.flatnonzero(every == kind)
            best, key = ("", -1, ""), (0.5, 0)
            for name, concept in self.concepts.items():
                label = self._labels[name][rows]
                share = (float(np.mean(label >= 0)), len(concept["values"]))
                if share > key:
                    value = int(np.bincount(label[label >= 0]).argmax())
                    best, key = (name, value, concept["values"][value]), share
            made.append(best)
        return made

    def words(self, ids: Ints) -> list[str]:
        """Readable strings of token ids."""
        return [self._words[int(i)].strip() for i in ids]

    def window(self, row: int, before: int, after: int) -> str:
        """The row's token in its context, between guillemets; marks are left out."""
        here = int(self.flat[row])
        context = int(np.searchsorted(self._edges, here, side="right")) - 1
        first = max(int(self._edges[context]), here - before)
        last = min(int(self._edges[context + 1]), here + 1 + after)
        made = []
        for flat in range(first, last):
            place = flat - self._from
            if not self._special[place]:
                word = self._words[int(self._ids[place])]
                made.append(f" «{word.strip()}»" if flat == here else word)
        return "".join(made).strip()

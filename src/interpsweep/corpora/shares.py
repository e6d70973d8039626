"""Which split a document is for: every split gets its share, whatever the documents' lengths.

A document is in one split only, and is cut where its split has all it asks for. The split is drawn
in proportion to what the splits still lack: documents are then spread as if they had been shuffled
first, and no pattern in their order meets one in the splits.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from interpsweep.corpora.identity import parts
from interpsweep.corpora.write import SPLITS
from interpsweep.errors import UserError


class Shares:
    """The tokens that one source still has to give to each split."""

    def __init__(self, goals: list[int], least: int, rng: np.random.Generator) -> None:
        """`goals`: tokens for each of SPLITS; `least`: those of the shortest context."""
        self.goals, self.left = goals, list(goals)
        self._least, self._rng = least, rng
        self._documents = self._seen = 0

    @classmethod
    def of_parts(cls, settings: Any, least: int) -> list[Shares]:
        """Those of each source of a corpus. Rounding never adds up to more than was asked for."""
        weights = np.array([getattr(part, "share", 1.0) for part in parts(settings)])
        held_out = [settings.analysis_share, settings.eval_share]
        split = np.array([1 - sum(held_out), *held_out])
        # edges of all cells laid end to end: (parts, splits)
        edges = np.cumsum(np.outer(weights / weights.sum(), split).ravel()) * settings.n_tokens
        goals = np.diff(np.rint(edges).astype(int), prepend=0).reshape(len(weights), -1)
        return [
            cls(goal.tolist(), least, np.random.default_rng([settings.seed, 5, i]))
            for i, goal in enumerate(goals)
        ]

    @property
    def full(self) -> bool:
        """Whether no split has room for another context."""
        return max(self.left) < self._least

    def draw(self) -> int:
        """The split of the next document. Needs one that has room."""
        room = [left if left >= self._least else 0 for left in self.left]
        return int(np.searchsorted(np.cumsum(room), self._rng.integers(sum(room)), "right"))

    def take(self, split: int, tokens: int, length: int) -> None:
        """Note that a document of `length` tokens gave `tokens` (marks included) to a split."""
        self.left[split] -= tokens
        self._documents += 1
        self._seen += length

    def check(self, source: str) -> None:
        """Raise UserError if the source ended before every split had its tokens."""
        if self.full:
            return
        if self._seen == 0:
            raise UserError(f"corpus: the source `{source}` holds no text")
        got = [
            f"{name} {goal - left:,} of {goal:,}"
            for name, goal, left in zip(SPLITS, self.goals, self.left, strict=True)
        ]
        raise UserError(
            f"corpus: {sum(self.goals):,} tokens were asked of the source `{source}`, and it holds "
            f"{self._seen:,} in {self._documents:,} documents, which gave {', '.join(got)} (a "
            "document is in one split only, and is cut where that is full). Lower corpus.n_tokens "
            "(or the part's share), give it more text, or cut it finer with corpus.documents"
        )

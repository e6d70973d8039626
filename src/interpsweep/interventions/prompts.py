"""Prompts whose next token depends on the value of a concept, from the forms in ``prompts.yaml``.

Every value stands in every form equally often. Before the form comes an opening, another one each
time: sentences of a held-out context in the planted language, words such as "In the end," in text.
A slot is the last token of a value, which is where the corpus has its label.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from ruamel.yaml import YAML

from interpsweep.corpora.artifact import Corpus
from interpsweep.corpora.sources.templates import slots
from interpsweep.errors import UserError
from interpsweep.models.batches import length_batches

Ints = NDArray[np.int64]
FORMS = Path(__file__).parent / "prompts.yaml"
CYCLIC = "circle"
LENGTH = 12  # tokens of a prompt in the planted language, its opening included
_SLOT = re.compile(r"\{([+-]?\d*)\}")


class Form(NamedTuple):
    """A text in pieces, a number standing for the value so many steps on, and the answer's step."""

    pieces: tuple[str | int, ...]
    step: int


class Batch(NamedTuple):
    """Prompts of one length, which end where the answer is predicted."""

    tokens: Ints  # (n, t)
    values: Ints  # (n, t) value of the concept in a slot, -1 elsewhere
    answer: Ints  # (n,) value

    def rows(self, chosen: NDArray[np.bool_]) -> Batch:
        """Some of the prompts."""
        return Batch(*(part[chosen] for part in self))


class Prompt(NamedTuple):
    """Tokens, and the values in its slots by place."""

    ids: list[int]
    slots: dict[int, int]


class Writer(Protocol):
    """Turns texts into tokens of a model."""

    def answers(self, labels: list[str]) -> Ints:
        """The token (k,) that an answer with each of the labels begins with."""

    def prompts(
        self, pieces: list[str | int], labels: list[str], n: int, rng: np.random.Generator
    ) -> Iterator[Prompt]:
        """`n` prompts of a form's pieces, numbers standing for values, with an opening each."""


@dataclass(frozen=True)
class Questions:
    """The prompts of one concept, and the tokens that stand for its values as answers."""

    concept: str
    shape: str
    answers: Ints  # (k,) token ids
    known: NDArray[np.bool_]  # (k,) values whose class mean is known
    batches: list[Batch]

    def on(self, values: Ints, steps: int) -> Ints:
        """Known values so many steps on, -1 beyond the ends of a line; -1 stays."""
        on = step_on(values, steps, len(self.answers), self.shape)
        return np.where(self.known[on], on, -1)


def step_on(values: Ints, steps: int, k: int, shape: str) -> Ints:
    """`values` of k, or -1, so many steps on around the circle; on a line -1 beyond its ends."""
    on = (values + steps) % k if shape == CYCLIC else values + steps
    return np.where((values >= 0) & (on >= 0) & (on < k), on, -1)


def forms(kind: str) -> dict[str, list[Form]]:
    """Concept -> its forms, of kind ``planted`` or ``text``."""
    listed = YAML(typ="safe", pure=True).load(FORMS)[kind]
    return {name: [_form(**one) for one in of] for name, of in listed.items()}


def _form(text: str, step: int) -> Form:
    parts = _SLOT.split(text)
    pieces = [int(part or 0) if i % 2 else part for i, part in enumerate(parts)]
    return Form(tuple(piece for piece in pieces if piece != ""), step)


def questions(
    name: str,
    concept: dict[str, Any],
    asked: list[Form],
    known: Ints,
    writer: Writer,
    n: int,
    batch_tokens: int,
    seed: int,
) -> Questions | str:
    """`n` prompts for every form and value of a concept, or why there are none.

    Only `known` values stand in slots and are answers.
    """
    labels, shape = list(concept["values"]), concept["shape"]
    answers = writer.answers(labels)
    if len(np.unique(answers)) < len(answers):
        return "two values begin with the same token"
    made: list[tuple[Prompt, int]] = []
    for i, form in enumerate(asked):
        steps = [p for p in form.pieces if isinstance(p, int)]
        for value in known.tolist():
            here = np.array([value])
            on = {step: int(step_on(here, step, len(labels), shape)[0])
                  for step in (*steps, form.step)}  # fmt: skip
            if not set(on.values()) <= set(known.tolist()):
                continue
            rng = np.random.default_rng([seed, i, value])
            pieces = [on[p] if isinstance(p, int) else p for p in form.pieces]
            made += [(p, on[form.step]) for p in writer.prompts(pieces, labels, n, rng)]
    if not made:
        return "none of its prompts has values with enough tokens only"
    known_ones = np.isin(np.arange(len(labels)), known)
    return Questions(name, shape, answers, known_ones, list(_batches(made, batch_tokens)))


def _batches(made: list[tuple[Prompt, int]], batch_tokens: int) -> Iterator[Batch]:
    lengths = np.array([len(prompt.ids) for prompt, _ in made])
    for chosen in length_batches(lengths, batch_tokens):
        tokens = np.array([made[i][0].ids for i in chosen], np.int64)
        values = np.full(tokens.shape, -1, np.int64)
        for row, i in enumerate(chosen):
            for place, value in made[i][0].slots.items():
                values[row, place] = value
        yield Batch(tokens, values, np.array([made[i][1] for i in chosen], np.int64))


class Planted:
    """Prompts in the planted language: a held-out context up to a full stop, then the form."""

    def __init__(self, corpus: Corpus) -> None:
        self._corpus = corpus
        self._ids = {word.strip(): i for i, word in enumerate(corpus.vocabulary)}

    def answers(self, labels: list[str]) -> Ints:
        """See `Writer`."""
        return np.array([self._ids[label] for label in labels], np.int64)

    def prompts(
        self, pieces: list[str | int], labels: list[str], n: int, rng: np.random.Generator
    ) -> Iterator[Prompt]:
        """See `Writer`."""
        ids: list[int] = []
        values: dict[int, int] = {}
        for piece in pieces:
            if isinstance(piece, int):
                values[len(ids)] = piece
            words = [labels[piece]] if isinstance(piece, int) else piece.split()
            ids += [self._ids[word] for word in words]
        for opening in self._openings(len(ids), n, rng):
            first = len(opening)
            yield Prompt([*opening.tolist(), *ids], {first + at: v for at, v in values.items()})

    def _openings(self, size: int, n: int, rng: np.random.Generator) -> Ints:
        """Beginnings (n, length) of held-out contexts that are whole sentences, before `size`."""
        length = min(LENGTH, self._contexts.shape[1]) - size
        if length < 1:
            raise UserError(
                f"intervene: contexts of {self._contexts.shape[1]} tokens have no room for a "
                f"prompt of {size} and a mark; raise corpus.context_length"
            )
        whole = self._contexts[:, length - 1] == self._ids["." if length > 1 else "<bos>"]
        found = np.flatnonzero(whole)
        if not len(found):
            raise UserError(
                f"intervene: no context of the eval split of {self._corpus.path} has a full stop "
                f"as its token {length}; enlarge the split (corpus.eval_share, corpus.n_tokens)"
            )
        chosen = rng.choice(found, n, replace=n > len(found))
        return self._contexts[chosen, :length].astype(np.int64)

    @cached_property
    def _contexts(self) -> NDArray[np.int32]:
        """Those of the eval split; all contexts of the planted language have one length."""
        first, last = self._corpus.splits["eval"]
        edges = self._corpus.offsets[[first, last]].tolist()
        if first == last:
            raise UserError(f"{self._corpus.path}: the eval split is empty; give the corpus one")
        return self._corpus.flat(*edges).reshape(last - first, -1)


class Text:
    """Prompts in English, for a tokenizer with character offsets."""

    def __init__(self, corpus: Corpus, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        begin, end = corpus.offsets[:2].tolist()
        marks = corpus.special[begin:end] != 0
        until = int(np.argmin(marks)) if not marks.all() else len(marks)
        self._marks = corpus.flat(begin, begin + until).tolist()  # that contexts open with
        self._openings = slots(("weekday",))[0].openings  # all lists have the same

    def answers(self, labels: list[str]) -> Ints:
        """See `Writer`."""
        lead = "is "
        return np.array([self._token_at(lead + label, len(lead))[0] for label in labels], np.int64)

    def _token_at(self, text: str, place: int) -> tuple[int, int]:
        """Id and number of the token that a character belongs to."""
        ids, ends = self._encode(text)
        number = int(np.searchsorted(ends, place, side="right"))
        return ids[number], number

    def _encode(self, text: str) -> tuple[list[int], Ints]:
        """Ids, and one past the last character of each token."""
        made = self._tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        return made["input_ids"], np.array([end for _, end in made["offset_mapping"]], np.int64)

    def prompts(
        self, pieces: list[str | int], labels: list[str], n: int, rng: np.random.Generator
    ) -> Iterator[Prompt]:
        """See `Writer`."""
        some = rng.choice(len(self._openings), n, replace=n > len(self._openings))
        for opening in some.tolist():
            text, ends = self._openings[opening], {}
            for i, piece in enumerate(pieces):
                if isinstance(piece, int):
                    text += labels[piece]
                    ends[len(text) - 1] = piece
                else:  # after an opening the sentence goes on in lower case
                    text += piece[:1].lower() + piece[1:] if i == 0 and text else piece
            ids, _ = self._encode(text)
            first = len(self._marks)
            slotted = {first + self._token_at(text, at)[1]: v for at, v in ends.items()}
            yield Prompt([*self._marks, *ids], slotted)

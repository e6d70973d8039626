"""The planted language: a vocabulary of about 400 words with structure of known answer.

Planted: weekdays on a circle of seven, months on a circle of twelve, numbers on a line with ends,
a taxonomy of three nested levels, and Zipfian filler without structure. `Language.sample` is a
pure function of (settings, seed, context index, length); labels are a function of the token that
the model has just read.
"""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import numpy as np

from interpsweep.config.corpora import LanguageSettings
from interpsweep.worlds import words
from interpsweep.worlds.sentences import Lexicon, Taxonomy, Tuned, forms

# Contexts are drawn in blocks of this many from one generator; part of the language's definition.
_BLOCK = 512


class Sample(NamedTuple):
    """Contexts of one length with labels; C contexts of L tokens."""

    tokens: np.ndarray  # int32 (C, L)
    labels: dict[str, np.ndarray]  # concept -> int16 (C, L), -1 = no label
    document: np.ndarray  # int32 (C,) one document per context


class Language:
    """The planted language of `settings`."""

    def __init__(self, settings: LanguageSettings):
        self.settings = settings
        self._values = _concept_values(settings)
        self.vocabulary = list(words.FRAME) + [w for group in self._values.values() for w in group]
        self._id = {word: i for i, word in enumerate(self.vocabulary)}
        if len(self._id) != len(self.vocabulary):
            raise AssertionError("the word lists of the planted language overlap")
        weighted = forms(settings.arithmetic)
        shares = settings.shares()
        self._forms = [
            (shares[kind] / sum(shares.values()) * share, form)
            for kind, members in weighted.items()
            for share, form in members
            if shares[kind] * share > 0
        ]

    @property
    def bos(self) -> int:
        """Token id of the mark that opens every context."""
        return self._id["<bos>"]

    @property
    def stop(self) -> int:
        """Token id of the full stop that closes every sentence."""
        return self._id["."]

    # ------------------------------------------------------------ truth

    @cached_property
    def concepts(self) -> dict[str, dict]:
        """The labelled concepts as `corpus.json` holds them."""
        s = self.settings
        flat = {"parent": None, "parent_of": None}
        leaves = s.kingdoms * s.classes
        return {
            "weekday": {"shape": "circle", "values": self._values["weekday"], **flat},
            "month": {"shape": "circle", "values": self._values["month"], **flat},
            "number": {"shape": "line", "values": self._values["number"], **flat},
            "activity": {"shape": "circle", "values": self._values["activity"], **flat},
            "weather": {"shape": "circle", "values": self._values["weather"], **flat},
            "size": {"shape": "line", "values": self._values["size"], **flat},
            "kingdom": {"shape": "tree", "values": self._values["kingdom"], **flat},
            "class": {
                "shape": "tree",
                "values": self._values["class"],
                "parent": "kingdom",
                "parent_of": [i // s.classes for i in range(leaves)],
            },
            "species": {
                "shape": "tree",
                "values": self._values["species"],
                "parent": "class",
                "parent_of": [i // s.species for i in range(leaves * s.species)],
            },
            "filler": {"shape": "categories", "values": ["noun", "verb", "adjective"], **flat},
        }

    def truth(self) -> dict:
        """What is planted, for whoever checks what was found: shape, order, strength, parents."""
        s = self.settings
        return {
            "language": "calendar",
            "concepts": self.concepts,
            "tuning": {
                "activity": {"around": "weekday", "law": "von Mises", "kappa": s.weekday_tuning},
                "weather": {"around": "month", "law": "von Mises", "kappa": s.month_tuning},
                "size": {"around": "number", "law": "Gaussian", "sigma": s.number_tuning},
            },
            "without_structure": ["filler"],
            "noise": s.noise,
            "shares": s.shares(),
        }

    @cached_property
    def label_tables(self) -> dict[str, np.ndarray]:
        """concept -> int16 (vocabulary,): the label of a position that has just read that token."""
        tables = {name: np.full(len(self.vocabulary), -1, np.int16) for name in self.concepts}
        for name in ("weekday", "month", "number", "activity", "weather", "size"):
            for i, word in enumerate(self._values[name]):
                tables[name][self._id[word]] = i
        for i, category in enumerate(self.concepts["filler"]["values"]):
            tables["filler"][self._ids(category)] = i
        # Only nouns are instances of a taxon, and every noun is one of all taxa above it. What is
        # said of them (breathes, nests) is no animal or bird, as swimming is no Monday.
        tree = self.lexicon.tree
        tables["kingdom"][tree.kingdoms] = np.arange(len(tree.kingdoms))
        tables["class"][tree.classes] = np.arange(len(tree.classes))
        tables["kingdom"][tree.classes] = tree.kingdom_of
        tables["species"][tree.species] = np.arange(len(tree.species))
        tables["class"][tree.species] = tree.class_of
        tables["kingdom"][tree.species] = tree.kingdom_of[tree.class_of]
        return tables

    # ------------------------------------------------------------ sampling

    def sample(self, n_contexts: int, length: int, seed: int, first: int = 0) -> Sample:
        """Contexts first .. first + n_contexts of the endless stream of `seed`."""
        last = first + n_contexts
        tokens = np.empty((n_contexts, length), np.int32)
        for block in range(first // _BLOCK, -(-last // _BLOCK)):
            begin = block * _BLOCK
            piece = self._block(block, length, seed)
            low, high = max(first, begin), min(last, begin + _BLOCK)
            tokens[low - first : high - first] = piece[low - begin : high - begin]
        labels = {name: table[tokens] for name, table in self.label_tables.items()}
        return Sample(tokens, labels, np.arange(first, last, dtype=np.int32))

    def _block(self, block: int, length: int, seed: int) -> np.ndarray:
        """The _BLOCK contexts of one block: int32 (_BLOCK, length)."""
        rng = np.random.default_rng([self.settings.seed, seed, block])
        per_context = -(-length // 4) + 1  # the shortest sentence has three words and a stop
        shares = np.cumsum([share for share, _ in self._forms])
        drawn = np.searchsorted(shares, rng.random(_BLOCK * per_context), "right")
        kind = drawn.clip(0, len(self._forms) - 1)
        sentences = np.full((len(kind), 8), -1, np.int32)
        for i, (_, form) in enumerate(self._forms):
            rows = np.flatnonzero(kind == i)
            columns = [*form(self.lexicon, rng, len(rows)), self.stop]
            for j, column in enumerate(columns):
                sentences[rows, j] = column
        # Close the gaps of short sentences: the k-th word of a context goes to place k.
        words_of = sentences.reshape(_BLOCK, -1)
        row, column = np.nonzero(words_of >= 0)
        starts = np.searchsorted(row, np.arange(_BLOCK))
        place = np.arange(len(row)) - starts[row] + 1
        tokens = np.full((_BLOCK, length), self.bos, np.int32)
        fits = place < length
        tokens[row[fits], place[fits]] = words_of[row[fits], column[fits]]
        return tokens

    # ------------------------------------------------------------ tables

    def _ids(self, name: str) -> np.ndarray:
        return np.array([self._id[word] for word in self._values[name]], np.int32)

    @cached_property
    def lexicon(self) -> Lexicon:
        """Token ids and conditional distributions that the sentence forms draw from."""
        s = self.settings
        week = _von_mises(7, s.activities, s.weekday_tuning)
        year = _von_mises(12, s.weathers, s.month_tuning)
        line = _gaussian(s.numbers, s.sizes, s.number_tuning)
        return Lexicon(
            frame={word: self._id[word] for word in words.FRAME},
            week=Tuned(self._ids("weekday"), self._ids("activity"), *week),
            year=Tuned(self._ids("month"), self._ids("weather"), *year),
            line=Tuned(self._ids("number"), self._ids("size"), *line),
            tree=self._taxonomy(),
            filler={
                category: (self._shuffled(category), _zipf(len(self._values[category]), s.zipf))
                for category in ("noun", "verb", "adjective")
            },
            noise=s.noise,
        )

    def _shuffled(self, category: str) -> np.ndarray:
        """Filler words in the order of their frequency, which is the language seed's choice."""
        ids = self._ids(category)
        return np.random.default_rng([self.settings.seed, len(ids)]).permutation(ids)

    def _taxonomy(self) -> Taxonomy:
        s = self.settings
        n_classes = s.kingdoms * s.classes
        return Taxonomy(
            kingdoms=self._ids("kingdom"),
            classes=self._ids("class"),
            species=self._ids("species"),
            kingdom_of=np.arange(n_classes) // s.classes,
            class_of=np.arange(n_classes * s.species) // s.species,
            kingdom_words=self._ids("kingdom attribute").reshape(-1, 2),
            class_words=self._ids("class attribute").reshape(-1, 2),
            species_words=self._ids("species attribute"),
        )


def _concept_values(s: LanguageSettings) -> dict[str, list[str]]:
    """Every content word, grouped by what it stands for, in the planted order."""
    kingdoms = list(words.TAXONOMY.items())[: s.kingdoms]
    classes = [c for _, (_, members) in kingdoms for c in list(members.items())[: s.classes]]
    species = [leaf for _, (_, leaves) in classes for leaf in list(leaves.items())[: s.species]]
    filler = words.invented_words(s.filler)
    nouns, verbs = s.filler // 2, s.filler // 4
    return {
        "weekday": list(words.WEEKDAYS),
        "month": list(words.MONTHS),
        "number": [words.number_word(n) for n in range(s.numbers)],
        "activity": list(words.ACTIVITIES[: s.activities]),
        "weather": list(words.WEATHERS[: s.weathers]),
        "size": list(words.SIZES[: s.sizes]),
        "kingdom": [name for name, _ in kingdoms],
        "class": [name for name, _ in classes],
        "species": [name for name, _ in species],
        "kingdom attribute": [w for _, (attributes, _) in kingdoms for w in attributes],
        "class attribute": [w for _, (attributes, _) in classes for w in attributes],
        "species attribute": [attribute for _, attribute in species],
        "noun": filler[:nouns],
        "verb": filler[nouns : nouns + verbs],
        "adjective": filler[nouns + verbs :],
    }


def _both_ways(joint: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cumulative p(word | value) (P, W) and p(value | word) (W, P) of weights (P, W)."""
    forward = joint / joint.sum(1, keepdims=True)
    backward = (joint / joint.sum(0, keepdims=True)).T
    return forward.cumsum(1), backward.cumsum(1)


def _von_mises(values: int, n_words: int, kappa: float) -> tuple[np.ndarray, np.ndarray]:
    """exp(kappa cos(angle of value - angle of word)), both equally spaced on the circle."""
    value = 2 * np.pi * np.arange(values) / values
    word = 2 * np.pi * np.arange(n_words) / n_words
    return _both_ways(np.exp(kappa * np.cos(value[:, None] - word)))


def _gaussian(values: int, n_words: int, sigma: float) -> tuple[np.ndarray, np.ndarray]:
    """exp(-distance^2 / 2 sigma^2), values and words equally spaced on [0, 1]."""
    value, word = np.linspace(0, 1, values), np.linspace(0, 1, n_words)
    return _both_ways(np.exp(-((value[:, None] - word) ** 2) / (2 * sigma**2)))


def _zipf(n: int, exponent: float) -> np.ndarray:
    """Cumulative probabilities proportional to rank ** -exponent."""
    weight = np.arange(1, n + 1, dtype=np.float64) ** -exponent
    return np.cumsum(weight / weight.sum())

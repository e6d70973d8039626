"""Sentences of the planted language, drawn many at once.

A sentence form is a function `(Lexicon, rng, n) -> list of columns`; a column is an int (the same
token in all n sentences) or an int array of shape (n,). The closing "." is added by the caller.
Circles are planted by smooth tuning (a word right after a weekday is von Mises distributed around
the weekday's angle) and by successor sentences, because modular sums alone would leave a model
free to use circles of a higher frequency. The number line is tuned without a period.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Column = int | np.ndarray


@dataclass(frozen=True)
class Tuned:
    """Values in order, on a circle or a line, with the words tuned to them."""

    values: np.ndarray  # (P,) token ids
    words: np.ndarray  # (W,) token ids
    forward: np.ndarray  # (P, W) cumulative p(word | value)
    backward: np.ndarray  # (W, P) cumulative p(value | word)


@dataclass(frozen=True)
class Taxonomy:
    """Three levels; leaf i belongs to class `class_of[i]`, class c to kingdom `kingdom_of[c]`."""

    kingdoms: np.ndarray  # (K,)
    classes: np.ndarray  # (C,)
    species: np.ndarray  # (S,)
    kingdom_of: np.ndarray  # (C,)
    class_of: np.ndarray  # (S,)
    kingdom_words: np.ndarray  # (K, 2) attributes
    class_words: np.ndarray  # (C, 2)
    species_words: np.ndarray  # (S,)


@dataclass(frozen=True)
class Lexicon:
    """Everything a sentence form needs to know."""

    frame: dict[str, int]
    week: Tuned
    year: Tuned
    line: Tuned
    tree: Taxonomy
    filler: dict[str, tuple[np.ndarray, np.ndarray]]  # category -> (tokens, cumulative p)
    noise: float


Form = Callable[[Lexicon, np.random.Generator, int], list[Column]]


def draw(rng: np.random.Generator, cumulative: np.ndarray, given: np.ndarray) -> np.ndarray:
    """One draw per row of `cumulative[given]` (n, W); returns indices (n,)."""
    u = rng.random(len(given))
    return (u[:, None] >= cumulative[given]).sum(1).clip(0, cumulative.shape[1] - 1)


def noisy(rng: np.random.Generator, index: np.ndarray, size: int, noise: float) -> np.ndarray:
    """`index` with a share `noise` of its entries replaced by uniform draws from range(size)."""
    wrong = rng.random(len(index)) < noise
    return np.where(wrong, rng.integers(0, size, len(index)), index)


# ---------------------------------------------------------------- weekdays and months


def _tuned(part: str, prepositions: tuple[str, ...], after: bool) -> Form:
    """`on Monday swim` (after) or `they swim Monday`: the tuned word right beside its value."""

    def form(lex: Lexicon, rng: np.random.Generator, n: int) -> list[Column]:
        scale: Tuned = getattr(lex, part)
        lead = np.array([lex.frame[p] for p in prepositions])[rng.integers(0, len(prepositions), n)]
        if after:
            value = rng.integers(0, len(scale.values), n)
            word = noisy(rng, draw(rng, scale.forward, value), len(scale.words), lex.noise)
            return [lead, scale.values[value], scale.words[word]]
        word = rng.integers(0, len(scale.words), n)
        value = noisy(rng, draw(rng, scale.backward, word), len(scale.values), lex.noise)
        return [lead, scale.words[word], scale.values[value]]

    return form


def _successor(part: str, step: int) -> Form:
    """`Monday then Tuesday`, `Tuesday after Monday` and their reverses."""

    def form(lex: Lexicon, rng: np.random.Generator, n: int) -> list[Column]:
        values = getattr(lex, part).values
        period = len(values)
        first = rng.integers(0, period, n)
        second = noisy(rng, (first + step) % period, period, lex.noise)
        return [values[first], lex.frame["then" if step > 0 else "after"], values[second]]

    return form


def _comes_after(part: str) -> Form:
    """`after Monday comes Tuesday`, `before Tuesday comes Monday`."""

    def form(lex: Lexicon, rng: np.random.Generator, n: int) -> list[Column]:
        values = getattr(lex, part).values
        period = len(values)
        forward = rng.random(n) < 0.5
        first = rng.integers(0, period, n)
        second = noisy(rng, (first + np.where(forward, 1, -1)) % period, period, lex.noise)
        lead = np.where(forward, lex.frame["after"], lex.frame["before"])
        return [lead, values[first], lex.frame["comes"], values[second]]

    return form


def _run(part: str, length: int) -> Form:
    """`Monday Tuesday Wednesday`: a run of neighbours around the circle."""

    def form(lex: Lexicon, rng: np.random.Generator, n: int) -> list[Column]:
        values = getattr(lex, part).values
        first = rng.integers(0, len(values), n)
        return [values[(first + i) % len(values)] for i in range(length)]

    return form


def _sum_around(part: str) -> Form:
    """`Monday plus two is Wednesday`, `Monday minus two is Saturday`."""

    def form(lex: Lexicon, rng: np.random.Generator, n: int) -> list[Column]:
        values, numbers = getattr(lex, part).values, lex.line.values
        period = len(values)
        first, by = rng.integers(0, period, n), rng.integers(0, min(7, len(numbers)), n)
        plus = rng.random(n) < 0.5
        result = noisy(rng, (first + np.where(plus, by, -by)) % period, period, lex.noise)
        sign = np.where(plus, lex.frame["plus"], lex.frame["minus"])
        return [values[first], sign, numbers[by], lex.frame["is"], values[result]]

    return form


# ---------------------------------------------------------------- numbers


def _count(lex: Lexicon, rng: np.random.Generator, n: int) -> list[Column]:
    """`count three four five six`."""
    values = lex.line.values
    first = rng.integers(0, len(values) - 3, n)
    return [lex.frame["count"], *(values[first + i] for i in range(4))]


def _count_down(lex: Lexicon, rng: np.random.Generator, n: int) -> list[Column]:
    """`count down six five four three`."""
    values = lex.line.values
    first = rng.integers(3, len(values), n)
    return [lex.frame["count"], lex.frame["down"], *(values[first - i] for i in range(4))]


def _compare(lex: Lexicon, rng: np.random.Generator, n: int) -> list[Column]:
    """`three less than nine`, `nine more than three`: the word after a number depends on both."""
    values = lex.line.values
    a = rng.integers(0, len(values), n)
    b = (a + rng.integers(1, len(values), n)) % len(values)
    word = np.where(a < b, lex.frame["less"], lex.frame["more"])
    swapped = noisy(rng, (a < b).astype(np.int64), 2, lex.noise) != (a < b)
    word = np.where(swapped, lex.frame["less"] + lex.frame["more"] - word, word)
    return [lex.frame["between"], values[a], lex.frame["and"], values[b], word]


def _relation(lex: Lexicon, rng: np.random.Generator, n: int) -> list[Column]:
    """`nine is more than three`: the second number is uniform on the right side of the first."""
    values = lex.line.values
    a = rng.integers(0, len(values), n)
    more = rng.random(n) < a / (len(values) - 1)
    low, high = np.where(more, 0, a + 1), np.where(more, a, len(values))
    b = low + (rng.random(n) * (high - low)).astype(np.int64)
    word = np.where(more, lex.frame["more"], lex.frame["less"])
    return [values[a], word, lex.frame["than"], values[b]]


def _sum(lex: Lexicon, rng: np.random.Generator, n: int) -> list[Column]:
    """`add three two is five`, never past the end of the line."""
    values = lex.line.values
    total = rng.integers(0, len(values), n)
    by = rng.integers(0, np.minimum(total, 6) + 1)
    result = noisy(rng, total, len(values), lex.noise)
    return [lex.frame["add"], values[total - by], values[by], lex.frame["is"], values[result]]


# ---------------------------------------------------------------- taxonomy


def _attribute(lex: Lexicon, rng: np.random.Generator, tree_leaf: np.ndarray) -> np.ndarray:
    """An attribute of each leaf: of its kingdom (0.4), its class (0.35) or its species (0.25)."""
    tree, n = lex.tree, len(tree_leaf)
    leaf = noisy(rng, tree_leaf, len(tree.species), lex.noise)
    group = tree.class_of[leaf]
    level, side = rng.random(n), rng.integers(0, 2, n)
    kingdom_word = tree.kingdom_words[tree.kingdom_of[group], side]
    class_word = tree.class_words[group, side]
    return np.where(
        level < 0.4, kingdom_word, np.where(level < 0.75, class_word, tree.species_words[leaf])
    )


def _leaf_attribute(lex: Lexicon, rng: np.random.Generator, n: int) -> list[Column]:
    """`the sparrow breathes`."""
    leaf = rng.integers(0, len(lex.tree.species), n)
    lead = np.where(rng.random(n) < 0.5, lex.frame["the"], lex.frame["a"])
    return [lead, lex.tree.species[leaf], _attribute(lex, rng, leaf)]


def _attribute_leaf(lex: Lexicon, rng: np.random.Generator, n: int) -> list[Column]:
    """`that breathes like a sparrow`: the attribute comes first."""
    leaf = rng.integers(0, len(lex.tree.species), n)
    word = _attribute(lex, rng, leaf)
    return [lex.frame["that"], word, lex.frame["like"], lex.tree.species[leaf]]


def _class_attribute(lex: Lexicon, rng: np.random.Generator, n: int) -> list[Column]:
    """`every bird nests`, `every animal breathes`: nouns of the upper levels."""
    tree = lex.tree
    leaf = rng.integers(0, len(tree.species), n)
    group, side = tree.class_of[leaf], rng.integers(0, 2, n)
    of_class, own = rng.random(n) < 0.6, rng.random(n) < 0.5
    kingdom_word = tree.kingdom_words[tree.kingdom_of[group], side]
    by_class = np.where(own, tree.class_words[group, side], kingdom_word)
    noun = np.where(of_class, tree.classes[group], tree.kingdoms[tree.kingdom_of[group]])
    word = np.where(of_class, by_class, kingdom_word)
    return [lex.frame["every"], noun, word]


def _is_a(lex: Lexicon, rng: np.random.Generator, n: int) -> list[Column]:
    """`a sparrow is a bird`, `a sparrow is a animal`, `a bird is a animal`."""
    tree = lex.tree
    leaf = rng.integers(0, len(tree.species), n)
    answer = noisy(rng, leaf, len(tree.species), lex.noise)
    form = rng.random(n)
    below = np.where(form < 0.7, tree.species[leaf], tree.classes[tree.class_of[leaf]])
    kingdom = tree.kingdoms[tree.kingdom_of[tree.class_of[answer]]]
    above = np.where(form < 0.4, tree.classes[tree.class_of[answer]], kingdom)
    return [lex.frame["a"], below, lex.frame["is"], lex.frame["a"], above]


def _siblings(lex: Lexicon, rng: np.random.Generator, n: int) -> list[Column]:
    """`both sparrow and eagle`: the second leaf shares the class (0.6) or the kingdom (0.4)."""
    tree = lex.tree
    leaf = rng.integers(0, len(tree.species), n)
    per_class = len(tree.species) // len(tree.classes)
    per_kingdom = len(tree.species) // len(tree.kingdoms)
    span = np.where(rng.random(n) < 0.6, per_class, per_kingdom)
    other = leaf // span * span + (rng.random(n) * span).astype(np.int64)
    other = noisy(rng, other, len(tree.species), lex.noise)
    return [lex.frame["both"], tree.species[leaf], lex.frame["and"], tree.species[other]]


# ---------------------------------------------------------------- filler


def _filler(*pattern: str) -> Form:
    """Filler words of the named categories, each drawn on its own from a Zipf distribution."""

    def form(lex: Lexicon, rng: np.random.Generator, n: int) -> list[Column]:
        columns: list[Column] = []
        for slot in pattern:
            if slot in lex.filler:
                tokens, cumulative = lex.filler[slot]
                drawn = np.searchsorted(cumulative, rng.random(n), side="right")
                columns.append(tokens[drawn.clip(0, len(tokens) - 1)])
            else:
                columns.append(lex.frame[slot])
        return columns

    return form


def _cycle_forms(part: str, preposition: str, arithmetic: float) -> list[tuple[float, Form]]:
    plain = 1.0 - arithmetic
    return [
        (plain * 0.40, _tuned(part, (preposition, "every", "some"), after=True)),
        (plain * 0.20, _tuned(part, ("we", "they"), after=False)),
        (plain * 0.10, _successor(part, 1)),
        (plain * 0.05, _successor(part, -1)),
        (plain * 0.15, _comes_after(part)),
        (plain * 0.10, _run(part, 3)),
        (arithmetic, _sum_around(part)),
    ]


def forms(arithmetic: float) -> dict[str, list[tuple[float, Form]]]:
    """The sentence forms of each kind with their shares within the kind."""
    plain = 1.0 - arithmetic
    return {
        "weekdays": _cycle_forms("week", "on", arithmetic),
        "months": _cycle_forms("year", "in", arithmetic),
        "numbers": [
            (plain * 0.35, _tuned("line", ("are", "some", "both"), after=True)),
            (plain * 0.15, _tuned("line", ("we", "they"), after=False)),
            (plain * 0.15, _count),
            (plain * 0.10, _count_down),
            (plain * 0.10, _compare),
            (plain * 0.15, _relation),
            (arithmetic, _sum),
        ],
        "taxonomy": [
            (0.40, _leaf_attribute),
            (0.15, _attribute_leaf),
            (0.15, _class_attribute),
            (0.15, _is_a),
            (0.15, _siblings),
        ],
        "filler": [
            (0.6, _filler("the", "noun", "verb", "the", "noun")),
            (0.4, _filler("the", "adjective", "noun", "verb")),
        ],
    }

"""What the SAEs of a site are asked about: labelled tokens, probes of their values, and a null."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interpsweep.activations.artifact import Activations
from interpsweep.activations.reader import check_paired
from interpsweep.config.probes import ProbesSettings
from interpsweep.corpora.artifact import Corpus
from interpsweep.errors import UserError, nearest
from interpsweep.saes.absorption import RandomConcepts, random_concepts
from interpsweep.saes.linear import Probes, f1_of_each, one_vs_rest

FIRST_LETTER = "first letter"
HELD_OUT = 5  # one context in so many
Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Judges:
    """Probes of values, or of random concepts: at the SAE's site, and where ablation is judged.

    The two are the same where nothing follows the site.
    """

    here: Probes
    # (k, d_later) of those that judge; the mean logit is 1 more where a value is than elsewhere
    weights: Floats
    f1: Floats  # (k,) of those that judge, held out


@dataclass(frozen=True)
class Sample:
    """The sample of one concept, and its probes."""

    name: str
    labels: list[str]
    values: Ints  # (v,) those with enough tokens
    rows: Ints  # (n,) positions among the encoded rows, ascending
    tokens: Ints  # (n,) flat places in the corpus
    value: Ints  # (n,) index into `values`
    test: Bools  # (n,)
    x: Floats  # (n, d) activations
    probes: Probes
    f1: Floats  # (v,) held out
    words: NDArray[Any]  # (n,) tokens
    random: RandomConcepts
    # for ablation only: of the values, and of the random concepts
    judges: tuple[Judges, Judges] | None


def draw_samples(inputs: dict[str, Any], rows: tuple[int, int], s: ProbesSettings) -> list[Sample]:
    """Sample the labelled tokens of every concept and learn its probes.

    Raises UserError if a concept is unknown or nothing has enough tokens.
    """
    corpus, masks = Corpus.open(inputs["corpus"]), inputs["masks"]
    activations = later = Activations.open(inputs["activations"], masks)
    if "later" in inputs:  # at the rows that the SAE was encoded on
        later = Activations.open(inputs["later"], masks)
    if later is not activations:
        check_paired(activations, later)
    flat = np.asarray(activations.token(*rows), np.int64)
    context = np.asarray(activations.context(*rows))
    begin, end = int(flat.min()), int(flat.max()) + 1
    words = np.array([*corpus.vocabulary], dtype=object)[
        np.asarray(corpus.flat(begin, end))[flat - begin]
    ]
    rng, made = np.random.default_rng(s.seed), []
    for name, (labels, value) in labelled(corpus, flat, words, s).items():
        here = np.flatnonzero(value >= 0)
        if len(here) > s.tokens:
            here = np.sort(rng.choice(here, s.tokens, replace=False))
        held_out = context[here] % HELD_OUT == 0
        learned, tested = (
            np.bincount(value[here[part]], minlength=len(labels)) for part in (~held_out, held_out)
        )
        enough = (learned + tested >= s.min_tokens) & (learned > 0) & (tested > 0)
        values = np.flatnonzero(enough)
        if len(values) < 2:  # one against others
            continue
        chosen = enough[value[here]]
        here, test = here[chosen], held_out[chosen]
        x = activations.read_at(rows[0] + here).astype(np.float64)
        one = np.searchsorted(values, value[here])
        wanted = one[:, None] == np.arange(len(values))
        probes = one_vs_rest(x[~test], wanted[~test], s.ridge)
        at_random = random_concepts(
            x, test, 1 / len(values), s.draws, np.random.default_rng([s.seed, 1])
        )
        judges = None
        if "ablation" in s.methods:
            y = x
            if later is not activations:
                y = later.read_at(rows[0] + here).astype(np.float64)
            others = one_vs_rest(x[~test], at_random.true[~test], s.ridge)
            judges = (
                judges_of(probes, wanted, x, y, test, s),
                judges_of(others, at_random.true, x, y, test, s),
            )
        made.append(
            Sample(
                name, labels, values, here, flat[here], one, test, x, probes,
                f1_of_each(probes, x[test], wanted[test]), words[here], at_random, judges,
            )
        )  # fmt: skip
    if not made:
        raise UserError(
            f"probes: no concept of {corpus.path} has two values with {s.min_tokens} labelled "
            "tokens on the analysis split; lower probes.min_tokens, or enlarge the split"
        )
    return made


def judges_of(
    here: Probes, wanted: Bools, x: Floats, y: Floats, test: Bools, s: ProbesSettings
) -> Judges:
    """Probes `here` of what is `wanted` (n, k), and their like on activations `y` (n, d_later)."""
    later = here if y is x else one_vs_rest(y[~test], wanted[~test], s.ridge)
    # probes have whatever scale their penalty leaves them, so costs are told in shares of this
    gap = [float(np.diff([later.of(k, y)[at].mean() for at in (~true, true)])[0])
           for k, true in enumerate(wanted.T)]  # fmt: skip
    scaled = later.weights / np.maximum(gap, 1e-300)[:, None]
    return Judges(here, scaled, f1_of_each(later, y[test], wanted[test]))


def labelled(
    corpus: Corpus, flat: Ints, words: NDArray[Any], s: ProbesSettings
) -> dict[str, tuple[list[str], Ints]]:
    """Names of the values, and the value of every row (-1 = none), of each chosen concept."""
    known = list(corpus.concepts)
    for name in s.concepts:
        if name not in known:
            raise UserError(
                f"probes.concepts: the corpus has no labelled concept {name!r}"
                f"{nearest(name, known)}; known: {', '.join(known) or 'none'}"
            )
    made = {
        name: (list(corpus.concepts[name]["values"]), corpus.label(name)[flat].astype(np.int64))
        for name in s.concepts or known
    }
    if s.first_letters:
        made[FIRST_LETTER] = first_letters(words)
    return made


def first_letters(words: NDArray[Any]) -> tuple[list[str], Ints]:
    """The letters a to z, and which one begins the word that begins at each token, -1 = none."""
    letters = [chr(ord("a") + i) for i in range(26)]
    place = {letter: i for i, letter in enumerate(letters)}
    kinds = {
        word: place.get(word[1].lower(), -1) if len(word) > 1 and word[0] == " " else -1
        for word in set(words)
    }
    return letters, np.array([kinds[word] for word in words], np.int64)

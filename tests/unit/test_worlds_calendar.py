"""The planted language: deterministic, labelled as it says, and tuned as it says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import ValidationError

from interpsweep.config.corpora import LanguageSettings
from interpsweep.worlds import language
from interpsweep.worlds.words import invented_words, number_word

LANG = language(LanguageSettings())


def pairs(before: str, after: str, n: int = 3000) -> np.ndarray:
    """Counts (values of `before`, values of `after`) of directly neighbouring tokens."""
    sample = LANG.sample(n, 64, seed=1)
    a, b = sample.labels[before][:, :-1], sample.labels[after][:, 1:]
    both = (a >= 0) & (b >= 0)
    sizes = [len(LANG.concepts[name]["values"]) for name in (before, after)]
    counts = np.zeros(sizes, int)
    np.add.at(counts, (a[both], b[both]), 1)
    return counts


@hypothesis_settings(deadline=None, max_examples=20)
@given(st.integers(0, 1500), st.integers(1, 60), st.integers(2, 70), st.integers(0, 2**40))
def test_a_context_depends_on_its_index_only(first, count, length, seed):
    piece = LANG.sample(count, length, seed, first=first)
    one = LANG.sample(1, length, seed, first=first + count - 1)
    assert piece.tokens.shape == (count, length)
    np.testing.assert_array_equal(piece.tokens[-1], one.tokens[0])
    assert piece.document[-1] == one.document[0] == first + count - 1


def test_another_seed_or_language_gives_other_sentences():
    base = LANG.sample(4, 64, 0).tokens
    assert (base != LANG.sample(4, 64, 1).tokens).any()
    assert (base != language(LanguageSettings(seed=1)).sample(4, 64, 0).tokens).any()


def test_contexts_open_with_bos_and_are_full():
    tokens = LANG.sample(700, 61, 3).tokens
    assert (tokens[:, 0] == LANG.bos).all()
    assert (tokens[:, 1:] != LANG.bos).all()
    assert tokens.min() >= 0 and tokens.max() < len(LANG.vocabulary)


def test_every_word_occurs_and_is_there_once():
    assert len(set(LANG.vocabulary)) == len(LANG.vocabulary)
    assert set(np.unique(LANG.sample(4000, 64, 0).tokens)) == set(range(len(LANG.vocabulary)))


def test_the_largest_language_has_no_clashing_words():
    everything = LanguageSettings(numbers=100, species=4, filler=2000)
    assert len(language(everything).vocabulary) > 2200
    assert len(set(invented_words(4000))) == 4000
    assert [number_word(n) for n in (0, 19, 20, 21, 99)] == [
        "zero", "nineteen", "twenty", "twenty-one", "ninety-nine",
    ]  # fmt: skip


def test_labels_are_in_the_planted_order():
    sample = LANG.sample(50, 64, 0)
    for concept in ("weekday", "month", "number", "activity", "weather", "size"):
        values = LANG.concepts[concept]["values"]
        where = sample.labels[concept] >= 0
        words = [LANG.vocabulary[t] for t in sample.tokens[where]]
        assert words == [values[i] for i in sample.labels[concept][where]]


def test_labels_of_the_taxonomy_agree_with_its_parents():
    tables = LANG.label_tables
    for child in ("species", "class"):
        concept = LANG.concepts[child]
        labelled = tables[child] >= 0
        parents = np.array(concept["parent_of"])[tables[child][labelled]]
        np.testing.assert_array_equal(parents, tables[concept["parent"]][labelled])
    assert (tables["kingdom"] >= 0).sum() > (tables["class"] >= 0).sum()


@pytest.mark.parametrize("before, after", [("weekday", "activity"), ("month", "weather")])
def test_words_are_tuned_smoothly_around_the_circle(before, after):
    counts = pairs(before, after)
    angles = np.exp(2j * np.pi * np.arange(counts.shape[1]) / counts.shape[1])
    mean = (counts @ angles) / counts.sum(1)
    planted = np.exp(2j * np.pi * np.arange(counts.shape[0]) / counts.shape[0])
    assert np.abs(np.angle(mean / planted)).max() < 0.3  # radians; a weekday is 0.9 wide
    assert (np.abs(mean) > 0.5).all()


def test_words_are_tuned_along_the_number_line_without_a_period():
    counts = pairs("number", "size")
    mean = (counts @ np.arange(counts.shape[1])) / counts.sum(1)
    assert np.corrcoef(mean, np.arange(counts.shape[0]))[0, 1] > 0.95
    assert mean[-1] - mean[0] > 0.6 * (counts.shape[1] - 1)


def test_attributes_follow_their_own_kingdom():
    tree, tokens = LANG.lexicon.tree, LANG.sample(4000, 64, seed=5).tokens
    kingdom_of = tree.kingdom_of[tree.class_of]
    right = said = 0
    for k, attributes in enumerate(tree.kingdom_words):
        here = np.isin(tokens[:, 1:], attributes)
        before = np.searchsorted(tree.species, tokens[:, :-1][here])
        leaf = np.isin(tokens[:, :-1][here], tree.species)
        right += (kingdom_of[before[leaf]] == k).sum()
        said += leaf.sum()
    assert said > 1000
    assert right / said > 0.95  # the rest is the planted noise


def test_only_nouns_are_instances_of_a_taxon():
    tables, tree = LANG.label_tables, LANG.lexicon.tree
    words = {"kingdom": tree.kingdoms, "class": tree.classes, "species": tree.species}
    for name, nouns in words.items():
        np.testing.assert_array_equal(tables[name][nouns], np.arange(len(nouns)))
    for attributes in (tree.kingdom_words, tree.class_words, tree.species_words):
        assert all((tables[name][attributes] == -1).all() for name in words)


def test_without_noise_every_successor_is_right():
    lang = language(LanguageSettings(noise=0, arithmetic=1, share_taxonomy=0, share_filler=0))
    vocabulary = np.array(lang.vocabulary)
    text = " ".join(vocabulary[lang.sample(200, 64, 0).tokens].ravel())
    days = lang.concepts["weekday"]["values"]
    sums = [s.split() for s in text.split(" . ") if " plus " in s and s.split()[0] in days]
    full = [s for s in sums if len(s) == 5]
    assert len(full) > 20
    numbers = lang.concepts["number"]["values"]
    for first, _, by, _, result in full:
        assert days.index(result) == (days.index(first) + numbers.index(by)) % 7


def test_filler_is_zipfian_and_free_of_order():
    sample = LANG.sample(3000, 64, 0)
    nouns = np.flatnonzero(LANG.label_tables["filler"] == 0)
    frequency = np.sort([(sample.tokens == noun).sum() for noun in nouns])[::-1]
    rank = np.arange(1, 11)
    slope = np.polyfit(np.log(rank), np.log(frequency[:10]), 1)[0]
    assert -1.2 < slope < -0.8


def test_a_language_without_sentences_is_refused():
    with pytest.raises(ValidationError, match="share_"):
        LanguageSettings(
            share_weekdays=0, share_months=0, share_numbers=0, share_taxonomy=0, share_filler=0
        )


def test_truth_states_what_is_planted():
    truth = LANG.truth()
    assert truth["concepts"]["weekday"]["shape"] == "circle"
    assert truth["concepts"]["number"]["shape"] == "line"
    assert truth["concepts"]["species"]["parent"] == "class"
    assert truth["without_structure"] == ["filler"]

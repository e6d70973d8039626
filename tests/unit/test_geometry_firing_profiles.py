"""Clusters by firing profiles: exclusive values with the same surroundings, and nothing in noise."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from plain import Matrix, Plain

from interpsweep.config.analysis import GeometrySettings
from interpsweep.geometry import census, clusters, firing_profiles

CONTEXTS, LENGTH, DIM = 1500, 8, 32
RING, LINE, REST = 7, 6, 40
SETTINGS = GeometrySettings(clusterings=("cosine",), draws=99, null_dictionaries=4)


def world() -> tuple[np.ndarray, np.ndarray]:
    """One latent on per token: `on <day>`, `count <number>`, else anything; and the contexts.

    Latents 0-6 are days, 7-12 numbers, 13 "on", 14 "count", the others free.
    """
    rng = np.random.default_rng(0)
    token = rng.integers(15, RING + LINE + REST, (CONTEXTS, LENGTH))
    for place in range(0, LENGTH - 1, 2):
        kind = rng.integers(0, 3, CONTEXTS)
        for which, lead, first, size in ((0, 13, 0, RING), (1, 14, RING, LINE)):
            rows = np.flatnonzero(kind == which)
            token[rows, place] = lead
            token[rows, place + 1] = first + rng.integers(0, size, len(rows))
    return token.ravel(), np.repeat(np.arange(CONTEXTS), LENGTH)


def one_hot(token: np.ndarray) -> Matrix:
    n = RING + LINE + REST
    return Matrix(
        sp.csr_matrix(
            (np.ones(len(token), np.float32), (np.arange(len(token)), token)), (len(token), n)
        )
    )


def directions() -> np.ndarray:
    rng = np.random.default_rng(1)
    unit = 0.15 * rng.standard_normal((RING + LINE + REST, DIM))
    t = 2 * np.pi * np.arange(RING) / RING
    unit[:RING, :2] += np.c_[np.cos(t), np.sin(t)]
    unit[RING:] *= 6
    return (unit / np.linalg.norm(unit, axis=1, keepdims=True)).astype(np.float32)


def found(token: np.ndarray, context: np.ndarray) -> list[clusters.Cluster]:
    n = RING + LINE + REST
    rows = firing_profiles.profiles(one_hot(token), context, np.arange(n), np.arange(n), 0.2, Plain)
    return clusters.find(rows, 4, 50, 4096, 0)


def test_exclusive_values_are_gathered_by_their_surroundings() -> None:
    sets = [set(cluster.members.tolist()) for cluster in found(*world())]
    assert set(range(RING)) in sets and set(range(RING, RING + LINE)) in sets


def test_only_neighbours_of_one_context_count_whatever_the_chunks() -> None:
    token, context = world()
    n = RING + LINE + REST
    every = np.arange(n)
    whole = firing_profiles.profiles(one_hot(token), context, every, every, 0.2, Plain)
    split = one_hot(token)
    split.chunk = 37
    np.testing.assert_allclose(
        firing_profiles.profiles(split, context, every, every, 0.2, Plain), whole, atol=1e-6
    )
    alone = firing_profiles.profiles(
        one_hot(token), np.arange(len(token)), every, every, 0.2, Plain
    )
    assert not alone.any()  # contexts of one token have no neighbours


def survey(token: np.ndarray, context: np.ndarray) -> census.Survey:
    return census.survey(
        directions(), SETTINGS, Plain, codes=one_hot(token), context=context, ids=token
    )


def test_a_circle_gathered_by_codes_passes_the_census() -> None:
    made = survey(*world())
    for source in ("cofiring", "tokens"):
        table = made.table[made.table["source"] == source]
        circle = table[(table["test"] == "circle") & (table["size"] == RING)]
        assert circle["p_selected"].min() < 0.001
        assert "circle" in set(circle["best_model"])


def test_kinds_of_tokens_bring_their_latents_and_means() -> None:
    made = survey(*world())
    assert made.kinds is not None
    days = next(g for g in made.groups if set(made.kinds.ids[g.kinds]) == set(range(RING)))
    assert set(days.members) == set(range(RING))  # one latent is on per token
    np.testing.assert_allclose(made.kinds.means(days.kinds, directions()), directions()[:RING])


def test_a_stray_kind_is_left_out_of_the_codes_alone_too(monkeypatch) -> None:
    token, context = world()
    codes = one_hot(token)
    codes.values.data[token == 0] = 30  # its mean is far from those of the other days
    tested = []
    alone = census.codes_alone
    monkeypatch.setattr(
        census, "codes_alone", lambda *a: tested.append((a[0], a[2].shape[0])) or alone(*a)
    )
    table = census.survey(
        directions(), SETTINGS, Plain, codes=codes, context=context, ids=token
    ).table
    measured = table[table["p_codes"].notna()]
    assert (measured["size"] == RING - 1).any()
    assert tested == list(zip(measured["test"], measured["size"], strict=True))


def test_two_latents_of_one_value_are_one_point() -> None:
    """A dictionary that spends two latents on every day still shows the circle."""
    token, context = world()
    n = RING + LINE + REST
    second = (token < RING) & (np.random.default_rng(2).random(len(token)) < 0.4)
    latent = np.where(second, token + n, token)
    on = (np.ones(len(token), np.float32), (np.arange(len(token)), latent))
    codes = Matrix(sp.csr_matrix(on, (len(token), n + RING)))
    unit = directions()
    extra = unit[:RING] + 0.3 * np.random.default_rng(3).standard_normal((RING, DIM))
    unit = np.vstack([unit, extra / np.linalg.norm(extra, axis=1, keepdims=True)])
    made = census.survey(
        unit.astype(np.float32), SETTINGS, Plain, codes=codes, context=context, ids=token
    )
    days = made.table[(made.table["source"] == "tokens") & (made.table["size"] == RING)]
    assert days.loc[days["test"] == "circle", "p_selected"].min() < 0.001


@pytest.mark.parametrize("seed", range(3))
def test_shuffled_codes_give_no_circle(seed: int) -> None:
    token, context = world()
    table = survey(np.random.default_rng(seed).permutation(token), context).table
    of_codes = table[table["source"] != "cosine"]
    assert (of_codes["p_selected"].dropna() > 0.05 / max(len(of_codes), 1)).all()

"""Absorption by probes on a world whose absorption is planted: codes written as an SAE would."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from interpsweep.config.probes import ProbesSettings
from interpsweep.saes.absorption import absorbed, chance, main_latents
from interpsweep.saes.linear import f1, one_vs_rest

D, ROWS, CHILDREN, OTHERS = 320, 5000, 4, 300
FEATURES = CHILDREN + 1 + OTHERS
S = ProbesSettings()


class World(NamedTuple):
    """A parent that is there on a fifth of the rows, with children on two fifths of those."""

    x: np.ndarray
    parent: np.ndarray  # bool
    child: np.ndarray  # -1 = none
    decoder: np.ndarray
    codes: csr_matrix
    test: np.ndarray


def world(absorbs: bool) -> World:
    """Latents 0..3 the children, 4 the parent, others unrelated features.

    With absorption a child's latent points along child plus parent and the parent's is silent
    beside it; without, both fire along their own directions.
    """
    rng = np.random.default_rng(0)
    axes = np.linalg.qr(rng.standard_normal((D, D)))[0]
    parent = rng.random(ROWS) < 0.2
    child = np.where(parent & (rng.random(ROWS) < 0.4), rng.integers(0, CHILDREN, ROWS), -1)
    others = rng.random((ROWS, OTHERS)) < 0.08
    size = 1 + 0.1 * rng.standard_normal((ROWS, FEATURES))
    truth = np.column_stack([*(child == c for c in range(CHILDREN)), parent, others]) * size
    x = truth @ axes[:FEATURES] + 0.02 * rng.standard_normal((ROWS, D))
    decoder, codes = axes[:FEATURES].copy(), truth.copy()
    if absorbs:
        both = decoder[:CHILDREN] + decoder[CHILDREN]
        decoder[:CHILDREN] = both / np.sqrt(2)
        codes[:, :CHILDREN] = np.sqrt(2) * truth[:, :CHILDREN]
        codes[child >= 0, CHILDREN] = 0
    test = np.arange(ROWS) % 5 == 0
    return World(x, parent, child, decoder, csr_matrix(codes.astype(np.float32)), test)


def probe_of(w: World) -> np.ndarray:
    probes = one_vs_rest(w.x[~w.test], w.parent[~w.test].astype(int), 2, S.ridge)
    assert f1(probes.logits(w.x[w.test])[:, 1] > 0, w.parent[w.test]) > 0.98
    return probes.directions()[1]


@pytest.mark.parametrize("absorbs", [True, False])
def test_planted_absorption_is_found_and_nothing_else(absorbs: bool) -> None:
    w = world(absorbs)
    probe = probe_of(w)
    main = main_latents(w.codes, w.parent, w.test, ProbesSettings(most_main=1))
    assert list(main.latents) == [CHILDREN]
    here = np.flatnonzero(w.parent)
    found = absorbed(w.codes[here], w.x[here], w.decoder, probe, main.latents, S)
    has_child = w.child[here] >= 0
    assert not found.full[~has_child].any()
    assert found.fraction[~has_child].max() == 0
    if absorbs:
        assert found.full[has_child].mean() > 0.95
        assert found.fraction[has_child].mean() > 0.95
        np.testing.assert_array_equal(found.absorber[found.full], w.child[here][found.full])
    else:
        assert not found.full.any()
        assert found.fraction.mean() < 0.02
    null = chance(w.codes, w.x, w.decoder, w.test, w.parent.mean(), S, np.random.default_rng(1))
    if absorbs:
        assert found.full.mean() > null.full.max() + 0.2
    # directions that no latent stands for have a large fraction without any absorption: the reason
    # why it is never read without the null
    assert null.full.mean() < 0.1 < 0.2 < null.fraction.mean()


def test_latents_that_split_a_value_are_all_main_ones() -> None:
    w = world(absorbs=True)
    # the parent's latent and its absorbers together stand for the value: nothing is hidden
    main = main_latents(w.codes, w.parent, w.test, S)
    assert set(main.latents) == set(range(CHILDREN + 1))
    assert main.f1 > 0.98 > main.f1_first + S.split_gain
    here = np.flatnonzero(w.parent)
    found = absorbed(w.codes[here], w.x[here], w.decoder, probe_of(w), main.latents, S)
    assert not found.full.any() and found.fraction.max() < 0.05


def test_the_formula_on_one_token() -> None:
    """Main latent 0 carries .3 of the projection, latents 1 and 2 .5 and .1, 3 points away."""
    decoder = np.eye(4)
    probe = np.array([0.6, 0.5, 0.5, -0.3742])
    probe /= np.linalg.norm(probe)
    codes = csr_matrix(np.array([[0.3, 0.5, 0.1, 0.0]]) / np.append(probe[:3], 1))
    x = (1.0 * probe)[None]
    made = absorbed(codes, x, decoder, probe, np.array([0]), S)
    assert made.fraction[0] == pytest.approx(0.6 / 0.9) and not made.full[0]
    assert absorbed(codes, x, decoder, probe, np.array([0]), ProbesSettings(absorbers=1)).fraction[
        0
    ] == pytest.approx(0.5 / 0.8)
    alone = csr_matrix(codes.toarray() * [0, 1, 1, 1])
    made = absorbed(alone, x, decoder, probe, np.array([0]), S)
    assert made.fraction[0] == 1 and made.full[0] and made.absorber[0] == 1
    weak = csr_matrix(codes.toarray() * [1, 0.1, 1, 1])  # absorbers carry .15 < .4
    assert absorbed(weak, x, decoder, probe, np.array([0]), S).fraction[0] == 0
    most = csr_matrix(codes.toarray() * [4, 1, 1, 1])  # the main latent has all of it
    assert absorbed(most, x, decoder, probe, np.array([0]), S).fraction[0] == 0

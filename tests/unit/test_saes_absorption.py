"""Absorption by projections on probes, on a world whose absorption is planted."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from absorption_world import CHILDREN, S, probes_of, world
from interpsweep.config.probes import ProbesSettings
from interpsweep.saes.absorption import absorbed, chance, main_latents, random_concepts


@pytest.mark.parametrize("absorbs", [True, False])
def test_planted_absorption_is_found_and_nothing_else(absorbs: bool) -> None:
    w = world(absorbs)
    probe = probes_of(w).directions()[0]
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
    pairs = random_concepts(w.x, w.test, w.parent.mean(), S.draws, np.random.default_rng(1))
    concepts = pairs.chosen(pairs.towards(w.x))
    mains = [main_latents(w.codes, true, w.test, S).latents for true in concepts.true.T]
    null = chance(w.codes, w.x, w.decoder, concepts, mains, S)
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
    found = absorbed(
        w.codes[here], w.x[here], w.decoder, probes_of(w).directions()[0], main.latents, S
    )
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


def test_random_concepts_of_few_different_rows_are_somewhere_and_not_everywhere() -> None:
    """Embeddings: seven tokens, and a share of a seventh of the rows or of half."""
    rng = np.random.default_rng(0)
    token = np.concatenate([np.arange(7), rng.integers(0, 7, 300)])
    x, test = rng.standard_normal((7, 10))[token], np.arange(307) % 5 == 0
    for share in (1 / 7, 1 / 2):
        pairs = random_concepts(x, test, share, 40, rng)
        there = pairs.true[~test].mean(axis=0)
        assert there.min() > 0 and there.max() < 1
        for true in pairs.true.T:  # all rows of a token or none
            assert all(len(set(true[token == t])) == 1 for t in range(7))
        opposite = pairs.true[:, :40] & pairs.true[:, 40:]
        assert not opposite.any() or share == 1 / 2

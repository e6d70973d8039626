"""Axes of the sweep of SAEs."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from interpsweep.config.saes import ARCHITECTURES, TrainSection, TrainSettings


def test_architectures_are_the_files():
    assert {"topk", "batchtopk", "relu"} <= set(ARCHITECTURES)


def test_the_product_of_the_axes_in_canonical_order():
    section = TrainSection(widths=[64, 32], sparsities=[4], seeds=[1, 0], tokens=1000)
    found = [(s.seed, s.d_sae) for s in section.expand()]
    assert found == [(0, 32), (0, 64), (1, 32), (1, 64)]
    swapped = TrainSection(widths=[32, 64], sparsities=[4], seeds=[0, 1], tokens=1000)
    assert swapped.expand() == section.expand()


def test_an_entry_overrides_what_lies_below_it():
    section = TrainSection(
        architectures=["topk", {"architecture": "relu", "sparsities": [0.5, 1], "seeds": [3]}],
        widths=[32, {"d_sae": 64, "learning_rate": 1e-3, "sparsity": 8}],
        sparsities=[4],
        seeds=[0],
    )
    found = [
        (s.architecture, s.d_sae, s.sparsity, s.seed, s.learning_rate) for s in section.expand()
    ]
    assert found == [
        ("relu", 32, 0.5, 3, None),
        ("relu", 32, 1, 3, None),
        ("relu", 64, 8, 3, 1e-3),
        ("topk", 32, 4, 0, None),
        ("topk", 64, 8, 0, 1e-3),
    ]


def test_reshuffle_gives_every_seed_its_own_stream():
    section = TrainSection(seeds=[0, 1], widths=[64], stream_seed=5, reshuffle=True)
    assert [s.stream_seed for s in section.expand()] == [5, 6]
    section = TrainSection(seeds=[0, 1], widths=[64], stream_seed=5)
    assert [s.stream_seed for s in section.expand()] == [5, 5]


def test_an_sae_is_identified_by_what_its_architecture_reads():
    def identity(architecture: str, **changes):
        return TrainSettings(architecture=architecture, d_sae=16, sparsity=3, **changes).identity()

    for changes, readers in (
        ({"jumprelu_bandwidth": 0.7}, {"jumprelu"}),
        ({"matryoshka_levels": (0.5, 1.0)}, {"matryoshka"}),
        ({"sparsity_warm_up": 0.3}, {"relu", "gated", "jumprelu"}),
        ({"auxiliary_k": 3}, {"topk", "batchtopk", "matryoshka", "jumprelu"}),
        ({"learning_rate": 1.0}, set(ARCHITECTURES)),
    ):
        changed = {a for a in ARCHITECTURES if identity(a, **changes) != identity(a)}
        assert changed == readers
        for architecture in readers:  # what a stage is given suffices to read the setting back
            settings = TrainSettings(**identity(architecture, **changes))
            assert {name: getattr(settings, name) for name in changes} == changes


@pytest.mark.parametrize(
    "changes,words",
    [
        ({"widths": [32, {"d_sae": 32}]}, ["widths[1]", "widths[0]", "same SAE"]),
        ({"widths": [32, {"d_sae": 32, "learning_rate": 1}]}, ["widths[1]", "same SAE"]),
        ({"widths": [{"d_sae": 32, "learning_rat": 1}]}, ["widths[0]", "did you mean"]),
        ({"widths": [{"architecture": "relu", "d_sae": 32}]}, ["widths[0]", "architecture"]),
        ({"widths": [{"learning_rate": 1}]}, ["widths[0]", "d_sae"]),
        ({"seeds": []}, ["train.seeds", "empty"]),
        ({"widths": [8], "sparsities": [16]}, ["sparsities[0]", "more than all 8"]),
        ({"sparsities": [2.5]}, ["whole number"]),
        ({"architectures": ["topq"]}, ["did you mean 'topk'"]),
        ({"warm_up": 0.6, "decay": 0.6}, ["at most 1"]),
        ({"architectures": ["jumprelu"], "sparsities": [2000]}, ["more than all 256"]),
        ({"matryoshka_levels": [0.5, 0.25, 1]}, ["matryoshka_levels", "ascend"]),
        ({"matryoshka_levels": [0.5]}, ["matryoshka_levels", "end with 1"]),
    ],
)
def test_mistakes_are_named(changes, words):
    with pytest.raises(ValidationError) as error:
        TrainSection(**changes)
    for word in words:
        assert word in str(error.value)


def test_defaults_of_the_learning_rate():
    wide = TrainSettings(d_sae=16384, sparsity=32)
    assert wide.peak_learning_rate == pytest.approx(2e-4)
    assert TrainSettings(d_sae=16, sparsity=3).peak_learning_rate == 2e-3


def test_defaults_of_the_dead_window():
    def window(**changes):
        return TrainSettings(d_sae=16, sparsity=3, **changes).dead_tokens

    assert window(tokens=2_000_000) == 100_000
    assert window(tokens=10**9) == 1_000_000
    assert window(tokens=10**9, dead_after=5) == 5

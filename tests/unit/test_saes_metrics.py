"""Metric definitions against known vectors: mean-heavy data of unit variance, N = 4096, d = 64."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from interpsweep.saes.metrics import Firing, Losses, LossRecovered, Reconstruction


def mean_heavy() -> tuple[np.ndarray, np.random.Generator]:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((4096, 64))
    x = (x - x.mean(0)) / x.std(0)
    mean = rng.standard_normal(64)
    mean += 0.28 - mean.mean()  # a small scalar mean, as in the table's data
    return x + mean * np.sqrt(632 / (mean @ mean)), rng


# definition -> score of: the mean, x + noise / 2, x + 0.5, 0.8 x
TABLE = {
    "explained_variance": (0.000, 0.750, 0.750, 0.566),
    "explained_variance_saebench": (0.889, 0.972, 0.972, 0.952),
    "explained_variance_legacy": (0.000, 0.741, 0.742, 0.553),
    "explained_variance_centred": (0.000, 0.750, 1.000, 0.960),
    "explained_variance_openai": (0.908, 0.977, 0.977, 0.960),
    "explained_variance_scalar_mean": (0.907, 0.977, 0.977, 0.960),
}


@pytest.mark.parametrize("case", range(4))
def test_explained_variance_definitions(case):
    x, rng = mean_heavy()
    hats = [
        np.broadcast_to(x.mean(0), x.shape),
        x + 0.5 * rng.standard_normal(x.shape),
        x + 0.5,
        0.8 * x,
    ]
    measured = Reconstruction(64)
    measured.update(torch.from_numpy(x), torch.from_numpy(hats[case].copy()))
    results = measured.results()
    for name, expected in TABLE.items():
        assert results[name] == pytest.approx(expected[case], abs=0.006), name
    assert results["fvu"] == pytest.approx(1 - results["explained_variance"])
    if case == 3:
        assert results["l2_ratio"] == pytest.approx(0.8)
        assert results["relative_reconstruction_bias"] == pytest.approx(0.8)
        assert results["cosine"] == pytest.approx(1)


def test_streaming_in_batches_gives_the_same():
    x, rng = mean_heavy()
    hat = x + 0.3 * rng.standard_normal(x.shape)
    whole, parts = Reconstruction(64), Reconstruction(64)
    whole.update(torch.from_numpy(x), torch.from_numpy(hat))
    for i in range(0, len(x), 1000):
        parts.update(torch.from_numpy(x[i : i + 1000]), torch.from_numpy(hat[i : i + 1000]))
    a, b = whole.results(), parts.results()
    del a["explained_variance_legacy"], b["explained_variance_legacy"]  # batch-wise by definition
    assert a == pytest.approx(b, rel=1e-10)


def test_constant_activations_leave_nothing_to_explain():
    measured = Reconstruction(4)
    measured.update(torch.ones(10, 4), torch.ones(10, 4))
    assert measured.results()["explained_variance"] is None


def test_firing():
    firing = Firing(4)
    columns, values = torch.tensor([0, 1, 0, 3]), torch.tensor([1.0, 2.0, 3.0, 0.0])
    firing.update(columns, values, tokens=5)
    firing.update(columns[:1], values[:1], tokens=5)
    assert firing.counts.tolist() == [3, 1, 0, 0]
    assert firing.means[:2].tolist() == pytest.approx([5 / 3, 2])
    assert firing.results(dense_above=0.2) == {
        "l0": 0.4, "dead_fraction": 0.5, "dense_fraction": 0.25
    }  # fmt: skip
    histogram = firing.histogram()
    assert sum(histogram["latents"]) == 2 and histogram["never"] == [2]


def test_loss_recovered_is_one_for_the_clean_model_and_zero_for_the_ablated():
    rng = torch.Generator().manual_seed(0)
    targets = torch.randint(0, 11, (3, 6), generator=rng)
    counted = torch.rand(3, 6, generator=rng) < 0.8
    clean = Losses(3 * torch.randn(3, 6, 11, generator=rng), targets, counted)
    other = torch.randn(3, 6, 11, generator=rng)
    ablated = Losses(other, targets, counted, clean.log_probabilities)
    expected = torch.nn.functional.cross_entropy(other[counted], targets[counted])
    for sae, ce, kl in ((clean, 1, 1), (ablated, 0, 0)):
        loss = LossRecovered()
        loss.update(clean, ablated, sae)
        results = loss.results()
        assert results["ce_recovered"] == pytest.approx(ce)
        assert results["kl_recovered"] == pytest.approx(kl)
        assert results["ce_ablated"] == pytest.approx(float(expected), rel=1e-5)
    kl = torch.nn.functional.kl_div(
        other[counted].log_softmax(-1), clean.log_probabilities, log_target=True, reduction="sum"
    )
    assert ablated.kl == pytest.approx(float(kl), rel=1e-5)

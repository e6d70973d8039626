"""Metric definitions against known vectors: mean-heavy data of unit variance, N = 4096, d = 64."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from interpsweep.saes import cosines, splice
from interpsweep.saes.breakdown import Groups, add, norm_edges, position_edges
from interpsweep.saes.kernels import from_coordinates
from interpsweep.saes.metrics import FiringCounts, Reconstruction, Truth
from interpsweep.saes.splice import CleanLosses, Losses, LossRecovered


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
    # by hand, with E|x|^2 = 696, |mean|^2 = 632 and 51.6 the sum of the mean's numbers
    "explained_variance_rescaled": (0.000, 0.756, 0.786, 1.000),
    "centred_scale": (None, 0.800, 1.000, 1.250),
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
    truth, hat = Truth(torch.from_numpy(x)), torch.from_numpy(hats[case].copy())
    errors = measured.update(truth, hat)
    np.testing.assert_allclose(errors, ((x - hats[case]) ** 2).sum(1), rtol=1e-9)
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
    whole.update(Truth(torch.from_numpy(x)), torch.from_numpy(hat.copy()))
    for i in range(0, len(x), 1000):
        part = slice(i, i + 1000)
        parts.update(Truth(torch.from_numpy(x[part])), torch.from_numpy(hat[part].copy()))
    a, b = whole.results(), parts.results()
    del a["explained_variance_legacy"], b["explained_variance_legacy"]  # batch-wise by definition
    assert a == pytest.approx(b, rel=1e-10)


def test_constant_activations_leave_nothing_to_explain():
    measured = Reconstruction(4)
    measured.update(Truth(torch.ones(10, 4)), torch.ones(10, 4))
    assert measured.results()["explained_variance"] is None


def codes(rows, columns, values, tokens):
    places = [torch.tensor(at, dtype=torch.int64) for at in (rows, columns)]
    return from_coordinates(*places, torch.tensor(values, dtype=torch.float32), tokens)


def test_firing():
    firing = FiringCounts(4)
    active = firing.update(codes([1, 1, 2, 4], [0, 1, 0, 3], [1.0, 2.0, 3.0, 0.0], tokens=5))
    assert active.tolist() == [0, 2, 1, 0, 0]
    assert firing.update(codes([0, 3], [0, 2], [1.0, 1.0], tokens=5)).tolist() == [1, 0, 0, 1, 0]
    assert firing.counts.tolist() == [3, 1, 1, 0]
    assert firing.first.tolist() == [1, 1, 8, -1]
    assert firing.results(dense_above=0.2) == {
        "l0": 0.5, "dead_fraction": 0.25, "dense_fraction": 0.25
    }  # fmt: skip
    histogram = firing.histogram()
    assert sum(histogram["latents"]) == 3 and histogram["never"] == [1]


def test_dead_windows_are_those_of_the_leading_tokens():
    firing = FiringCounts(5)
    first = [0, 999, 1000, 11_500]  # and one latent that never fires
    for start in range(0, 12_000, 4000):
        here = [(t - start, i) for i, t in enumerate(first) if start <= t < start + 4000]
        rows, columns = [r for r, _ in here], [c for _, c in here]
        firing.update(codes(rows, columns, [1.0] * len(rows), tokens=4000))
    assert firing.dead_windows() == {
        "tokens": [1000, 10_000, 12_000], "dead_fraction": [0.6, 0.4, 0.2]
    }  # fmt: skip


def test_groups_add_up_to_the_whole():
    x, rng = mean_heavy()
    hat = x + rng.standard_normal(x.shape) * np.linspace(0, 1, len(x))[:, None]
    active = rng.integers(0, 9, len(x))
    place = np.arange(len(x)) % 100
    edges = position_edges(100)
    groups, whole = Groups(edges, 64), Reconstruction(64)
    sums = torch.zeros(len(groups), 2, dtype=torch.float64)
    for i in range(0, len(x), 1000):
        part = slice(i, i + 1000)
        truth = Truth(torch.from_numpy(x[part]), i)
        errors = whole.update(truth, torch.from_numpy(hat[part].copy()))
        members = groups.members(torch.from_numpy(place[part]), truth)
        add(sums, members, errors, torch.from_numpy(active[part]))
    table, results = groups.table(sums, whole.mean, ("first", "end")), whole.results()
    assert table["tokens"].sum() == len(x)
    weights = table["tokens"] * table["variance"]
    assert np.average(table["fvu"], weights=weights) == pytest.approx(results["fvu"])
    assert np.average(table["l0"], weights=table["tokens"]) == pytest.approx(active.mean())
    # one group by hand
    row = table[table["first"] == 70].iloc[0]
    inside = (place >= row["first"]) & (place < row["end"])
    error = ((x - hat)[inside] ** 2).sum(1).mean()
    assert row["mse"] == pytest.approx(error)
    assert row["fvu"] == pytest.approx(error / ((x[inside] - x.mean(0)) ** 2).sum(1).mean())


@pytest.mark.parametrize("length", [1, 16, 64, 65, 100, 128, 1024, 131_072])
def test_positions_are_single_and_then_logarithmic(length):
    edges = position_edges(length)
    assert edges[0] == 0 and edges[-1] == length and (np.diff(edges) > 0).all()
    assert edges[: min(length, 64)].tolist() == list(range(min(length, 64)))
    assert len(edges) <= 66 + 8 * max(0, np.log2(length / 64))


def test_norms_are_grouped_by_deciles():
    norms = np.random.default_rng(0).gamma(3, size=10_000)
    edges = norm_edges(norms)
    counts = np.histogram(norms, [*edges[:-1].tolist(), norms.max() + 1])[0]
    assert len(counts) == 10 and (abs(counts - 1000) <= 1).all()
    assert norm_edges(np.ones(5)).tolist() == [0, 1, np.inf]


def test_nearest_directions_are_those_of_the_full_matrix(monkeypatch):
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((300, 8)) * rng.uniform(0.1, 9, (300, 1))
    rows[77] = 3 * rows[5]  # a duplicate
    rows[[200, 299]] = -rows[[10, 11]]  # opposite is not alike
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    full = unit @ unit.T
    np.fill_diagonal(full, -2)
    monkeypatch.setattr(cosines, "BLOCK_FLOATS", 70 * 300)
    cosine, index = cosines.nearest(torch.from_numpy(rows))
    np.testing.assert_array_equal(index, full.argmax(1))
    np.testing.assert_allclose(cosine, full.max(1))
    assert index[77] == 5 and cosine[77] == pytest.approx(1)
    pairs = cosines.paired(torch.from_numpy(rows), torch.from_numpy(-2 * rows))
    np.testing.assert_allclose(pairs, -1)


@pytest.mark.parametrize("parts", [1, 5])
def test_loss_recovered_is_one_for_the_clean_model_and_zero_for_the_ablated(parts, monkeypatch):
    monkeypatch.setattr(splice, "LOGIT_FLOATS", 11 * -(-18 // parts))
    rng = torch.Generator().manual_seed(0)
    targets = torch.randint(0, 11, (3, 6), generator=rng)
    counted = torch.rand(3, 6, generator=rng) < 0.8
    logits = 3 * torch.randn(3, 6, 11, generator=rng)
    clean = CleanLosses(logits, targets, counted)
    same = Losses(logits, targets, counted, clean)
    other = torch.randn(3, 6, 11, generator=rng)
    ablated = Losses(other, targets, counted, clean)
    expected = torch.nn.functional.cross_entropy(other[counted], targets[counted])
    for sae, ce, kl in ((same, 1, 1), (ablated, 0, 0)):
        loss = LossRecovered()
        loss.update(clean, ablated, sae)
        results = loss.results()
        assert results["ce_recovered"] == pytest.approx(ce)
        assert results["kl_recovered"] == pytest.approx(kl)
        assert results["ce_ablated"] == pytest.approx(float(expected), rel=1e-5)
    kl = torch.nn.functional.kl_div(
        other[counted].log_softmax(-1),
        logits[counted].log_softmax(-1),
        log_target=True,
        reduction="sum",
    )
    assert ablated.kl == pytest.approx(float(kl), rel=1e-5)


def test_nearest_of_random_directions_is_as_drawn():
    rng = np.random.default_rng(0)
    drawn = [cosines.nearest(torch.from_numpy(rng.standard_normal((60, 16))))[0] for _ in range(50)]
    assert float(torch.cat(drawn).median()) == pytest.approx(
        cosines.random_median(60, 16), abs=0.01
    )
    assert cosines.random_median(2, 16) == pytest.approx(0)

"""The kernels against dense torch, for odd shapes, ties, NaN and any number of threads."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from interpsweep.saes.kernels import (
    ByColumn,
    SparseCodes,
    above,
    choose,
    decode,
    dense,
    few_above,
    from_mask,
    keep_largest,
    native,
    reconstruct,
    sampled_products,
    sparse_gradients,
    top_columns,
    top_k,
)
from interpsweep.saes.optimiser import Adam, clip_factor, normalise_rows

ONCE = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture(params=["compiled", "torch"], autouse=True)
def engine(request, monkeypatch):
    """Every test of this file runs with both engines: the torch one is what GPUs use."""
    if request.param == "torch":
        monkeypatch.setattr(native, "serves", lambda tensor: False)


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@ONCE
@given(n=st.integers(1, 90), width=st.integers(1, 300), data=st.data())
def test_top_k_is_the_largest_of_each_row(n, width, data):
    k = data.draw(st.integers(1, width))
    values = draw(n, width, seed=n + width).round(decimals=data.draw(st.integers(0, 3)))  # ties
    found, columns = top_k(values, k)
    expected = values.topk(k).values
    torch.testing.assert_close(found.sort(descending=True).values, expected, rtol=0, atol=0)
    assert all(len(set(row)) == k for row in columns.tolist())


@pytest.fixture(params=["float32", "bfloat16"])
def search(request, monkeypatch):
    """What a search goes by, on a CPU of either kind: results must not show it."""
    monkeypatch.setattr(choose, "_multiplies_bfloat16", lambda: request.param == "bfloat16")
    monkeypatch.setattr(choose, "NARROW_PRODUCT", 0)


@pytest.mark.parametrize("scale", [1.0, 100.0])
@pytest.mark.parametrize(("width", "k"), [(515, 7), (515, 70), (40, 30), (2100, 5)])
def test_top_columns_are_the_largest_float32_ones(search, scale, width, k):
    centred = draw(300, 24) * torch.logspace(0, torch.tensor(scale).log10(), 300)[:, None]
    encoder, bias = draw(width, 24, seed=1), 3 * draw(width, seed=2)
    encoder[3] *= 20  # its rounding errors are larger than the others'
    found = top_columns(centred, encoder, bias, k)
    pre = centred @ encoder.T + bias
    assert found.offsets.tolist() == list(range(0, 300 * k + 1, k))
    chosen = found.values.view(300, k).sort(descending=True).values
    torch.testing.assert_close(chosen, pre.topk(k).values, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(found.values, pre[found.rows, found.columns], rtol=1e-5, atol=1e-4)
    assert all(len(set(row)) == k for row in found.columns.view(300, k).tolist())


def test_a_row_of_nan_gives_valid_columns():
    values = draw(5, 64)
    values[2] = torch.nan
    _, columns = top_k(values, 9)
    assert columns.min() >= 0 and columns.max() < 64
    torch.testing.assert_close(
        values[3].topk(9).values, values[3][columns[3]].sort(descending=True).values
    )


@pytest.mark.parametrize("floor", [-1e9, 0.0, 2.0, 1e9])
def test_above_finds_exactly_the_places_above(search, floor):
    centred, encoder, bias = draw(130, 16), draw(77, 16, seed=1), draw(77, seed=2)
    found = above(centred, encoder, bias, floor)
    pre = centred @ encoder.T + bias
    mask = torch.zeros_like(pre, dtype=torch.bool)
    mask[found.rows, found.columns] = True
    assert len(found.columns) == int((pre > floor).sum()) and torch.equal(mask, pre > floor)
    torch.testing.assert_close(found.values, pre[found.rows, found.columns])


def test_few_above_gives_up_beyond_its_limit(search):
    centred, encoder, bias = draw(130, 16), draw(77, 16, seed=1), torch.zeros(77)
    count = len(above(centred, encoder, bias, 0.0).columns)
    assert few_above(centred, encoder, bias, 0.0, count) is not None
    assert few_above(centred, encoder, bias, 0.0, count - 1) is None


def codes_of(n: int, width: int, share: float):
    values = draw(n, width, seed=3).double()
    return from_mask(
        torch.rand(n, width, generator=torch.Generator().manual_seed(4)) < share, values
    )


@pytest.mark.parametrize("share", [0.0, 0.03, 0.6])
def test_products_of_codes_equal_dense_ones(share):
    codes = codes_of(150, 90, share)
    decoder, x = draw(90, 20, seed=5).double(), draw(150, 20, seed=6).double()
    full, bias = codes.dense(90), draw(90, seed=7).double()
    torch.testing.assert_close(decode(codes, decoder), full @ decoder)
    places = codes.rows, codes.columns
    torch.testing.assert_close(
        sampled_products(x, decoder, codes, bias), (x @ decoder.T + bias)[places]
    )
    by_column = ByColumn(codes, 90)
    torch.testing.assert_close(by_column.transposed_product(codes.values, x), full.T @ x)
    torch.testing.assert_close(by_column.column_sums(codes.values), full.sum(0))


@pytest.mark.parametrize("share", [0.0, 0.03, 0.6])
@pytest.mark.parametrize("add", [False, True])
def test_fit_and_its_gradients_are_those_of_dense_products(share, add):
    codes, decoder, x = codes_of(150, 90, share), draw(90, 20, seed=5).double(), draw(150, 20)
    x, acts, places = x.double(), codes.dense(90).relu(), (codes.rows, codes.columns)
    fit = reconstruct(codes, decoder, x)
    error, to_pre = acts @ decoder - x, ((acts @ decoder - x) @ decoder.T) * (acts > 0)
    torch.testing.assert_close(fit.acts, acts[places])
    torch.testing.assert_close(fit.error, error)
    torch.testing.assert_close(fit.to_pre, to_pre[places])
    torch.testing.assert_close(fit.squared, error.square().sum(1))
    encoder_out, decoder_out = draw(90, 20, seed=7).double(), draw(90, 20, seed=8).double()
    before = encoder_out.clone() * add, decoder_out.clone() * add
    sums, fired = sparse_gradients(codes, fit, x, 0.3, encoder_out, decoder_out, add)
    torch.testing.assert_close(encoder_out, before[0] + 0.3 * to_pre.T @ x)
    torch.testing.assert_close(decoder_out, before[1] + 0.3 * acts.T @ error)
    torch.testing.assert_close(sums, 0.3 * to_pre.sum(0))
    assert torch.equal(fired, (acts > 0).sum(0))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_dense_passes(dtype):
    values = draw(70, 33).to(dtype)
    mask = draw(70, 33, seed=1) > 0
    wide = torch.promote_types(dtype, torch.float32)
    torch.testing.assert_close(dense.column_sums(values), values.sum(0, dtype=wide))
    assert torch.equal(dense.column_counts(mask), mask.sum(0))
    assert torch.equal(dense.keep_(mask, values.clone()), values * mask)
    clipped = values.clone()
    assert torch.equal(dense.relu_(clipped), values > 0) and torch.equal(clipped, values.relu())


def test_relu_keeps_nan():
    values = torch.tensor([[1.0, float("nan"), -float("nan"), -2.0]])
    dense.relu_(values)
    assert values.isnan().tolist() == [[False, True, True, False]]


@ONCE
@given(count=st.integers(1, 60))
def test_largest_takes_the_first_of_equal_values(count):
    values = draw(50).round()
    order = sorted(range(50), key=lambda i: (-values[i].item(), i))
    codes = SparseCodes(torch.tensor([0, 7, 7, 50]), torch.arange(50), values)
    kept = keep_largest(codes, count)
    places = sorted(order[:count])
    assert kept.columns.tolist() == places and torch.equal(kept.values, values[places])
    early = sum(p < 7 for p in places)
    assert kept.offsets.tolist() == [0, early, early, len(places)]


def test_adam_is_torchs_adam_with_clipped_gradients():
    ours = [draw(70, 9), draw(9, seed=1)]
    theirs = [weight.clone().requires_grad_() for weight in ours]
    # the bias at three times the learning rate
    groups = [{"params": theirs[:1]}, {"params": theirs[1:], "lr": 0.03}]
    adam, reference = Adam(ours, [1, 3]), torch.optim.Adam(groups, lr=0.01)
    for step in range(5):
        gradients = [draw(*weight.shape, seed=10 + step) for weight in ours]
        for weight, gradient in zip(theirs, gradients, strict=True):
            weight.grad = gradient.clone()
        torch.nn.utils.clip_grad_norm_(theirs, 1.0)
        reference.step()
        adam.step(gradients, 0.01, clip_factor(gradients, 1.0))
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other.detach(), rtol=1e-5, atol=1e-6)


def test_work_shared_among_threads_runs_in_the_callers_inference_mode():
    left, right = torch.ones(3000, 4), torch.ones(4, 5)
    before = torch.get_num_threads()
    try:
        native.use_threads(3)
        with torch.inference_mode():
            product = native.matmul(left, right)
    finally:
        native.use_threads(1)
        torch.set_num_threads(before)
    assert (product == 4).all()


def test_threads_change_no_bit(search, monkeypatch):
    monkeypatch.setattr(native, "_SMALL_WORK", 0)  # all work is shared, however small
    centred, encoder, bias = draw(500, 16), draw(256, 16, seed=1), draw(256, seed=2)

    def everything() -> list[torch.Tensor]:
        codes = top_columns(centred, encoder, bias, 5)
        exact = sampled_products(centred, encoder, codes, bias)
        fit, weight = reconstruct(codes, encoder, centred), encoder.clone()
        gradients = torch.empty_like(encoder), torch.empty_like(encoder)
        sums, fired = sparse_gradients(codes, fit, centred, 0.1, *gradients)
        Adam([weight]).step(gradients[:1], 0.01, clip_factor(gradients, 1.0))
        normalise_rows(weight)
        found = above(centred, encoder, bias, 1.0)
        largest_ones = top_k(centred, 3)
        return [*codes, exact, *fit, *gradients, sums, fired, weight, *found, *largest_ones]

    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            native.use_threads(threads)
            results.append(everything())
    finally:
        native.use_threads(1)
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))

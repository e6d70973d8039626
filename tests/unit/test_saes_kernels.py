"""The kernels against dense torch, for odd shapes, ties, NaN and any number of threads."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from interpsweep.saes.kernels import (
    ByColumn,
    above,
    decode,
    dense,
    few_above,
    fixed_k,
    from_mask,
    largest,
    native,
    reconstruct,
    sampled_products,
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


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_top_columns_of_rows_of_very_different_size(precision, scale):
    centred = draw(300, 24) * torch.logspace(0, torch.tensor(scale).log10(), 300)[:, None]
    encoder, bias = draw(515, 24, seed=1), draw(515, seed=2)
    columns = top_columns(centred, encoder, bias, 7, precision)
    pre = centred @ encoder.T
    if precision == "bfloat16":
        pre = (centred.bfloat16() @ encoder.bfloat16().T).float()
    chosen = (pre + bias).gather(1, columns).sort(descending=True).values
    torch.testing.assert_close(chosen, (pre + bias).topk(7).values, rtol=1e-5, atol=1e-4)


def test_a_row_of_nan_gives_valid_columns():
    values = draw(5, 64)
    values[2] = torch.nan
    _, columns = top_k(values, 9)
    assert columns.min() >= 0 and columns.max() < 64
    torch.testing.assert_close(
        values[3].topk(9).values, values[3][columns[3]].sort(descending=True).values
    )


@pytest.mark.parametrize("floor", [-1e9, 0.0, 2.0, 1e9])
def test_above_finds_exactly_the_places_above(floor):
    centred, encoder, bias = draw(130, 16), draw(77, 16, seed=1), draw(77, seed=2)
    found = above(centred, encoder, bias, floor, "float32")
    pre = centred @ encoder.T + bias
    mask = torch.zeros_like(pre, dtype=torch.bool)
    mask[found.rows, found.columns] = True
    assert len(found.columns) == int((pre > floor).sum()) and torch.equal(mask, pre > floor)
    torch.testing.assert_close(found.values, pre[found.rows, found.columns])


def test_few_above_gives_up_beyond_its_limit():
    centred, encoder, bias = draw(130, 16), draw(77, 16, seed=1), torch.zeros(77)
    count = len(above(centred, encoder, bias, 0.0, "float32").columns)
    assert few_above(centred, encoder, bias, 0.0, "float32", count) is not None
    assert few_above(centred, encoder, bias, 0.0, "float32", count - 1) is None


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
    error, products = reconstruct(codes, decoder, x)
    torch.testing.assert_close(error, full @ decoder - x)
    torch.testing.assert_close(products, ((full @ decoder - x) @ decoder.T)[places])
    by_column = ByColumn(codes, 90)
    torch.testing.assert_close(by_column.transposed_product(codes.values, x), full.T @ x)
    torch.testing.assert_close(by_column.column_sums(codes.values), full.sum(0))


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
    assert largest(values, count).tolist() == sorted(order[:count])


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


def test_threads_change_no_bit():
    centred, encoder, bias = draw(500, 16), draw(256, 16, seed=1), draw(256, seed=2)

    def everything() -> list[torch.Tensor]:
        columns = top_columns(centred, encoder, bias, 5, "float32")
        codes = fixed_k(columns, torch.empty(columns.shape))
        codes = codes.with_values(sampled_products(centred, encoder, codes, bias))
        by_column, weight = ByColumn(codes, 256), encoder.clone()
        gradient = by_column.transposed_product(codes.values, centred)
        Adam([weight]).step([gradient], 0.01, clip_factor([gradient], 1.0))
        normalise_rows(weight)
        found = above(centred, encoder, bias, 1.0, "bfloat16")
        return [columns, *reconstruct(codes, encoder, centred), gradient, weight, *found]

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

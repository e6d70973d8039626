"""Where a training step spends its time, and how its cost grows with width, k and batch.

Run as ``python benchmarks/operations.py``. The first table lists the kernels of a TopK step (d_in
384, width 8192, k 32, batch 2048) with what each must do at least: the arithmetic over the
machine's measured matrix-product peak, and the bytes it reads and writes over the measured memory
bandwidth. The second shows whole steps, narrow SAEs among them, without dead latents and with 30 %
of them, beside their encoder product alone in float32 and in bfloat16. Times are CPU seconds of one
thread, the best of several rounds, so that other work on the machine says little; ratios are of one
run.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor

from interpsweep.config.saes import TrainSettings
from interpsweep.saes.kernels import (
    ByColumn,
    Precision,
    native,
    reconstruct,
    rounded,
    sparse_gradients,
    top_columns,
    top_k,
)
from interpsweep.saes.optimiser import Adam, clip_factor, normalise_rows
from interpsweep.saes.trainer import Side, Trainer

D_IN, D_SAE, K, BATCH = 384, 8192, 32, 2048
ROUNDS = 5
GROWTH = [
    (384, 2048, 32, 2048),
    (384, 8192, 32, 2048),
    (384, 32768, 32, 2048),
    (384, 8192, 128, 2048),
    (384, 8192, 32, 512),
    (384, 8192, 32, 8192),
    (64, 128, 4, 2048),
    (64, 256, 4, 2048),
    (64, 512, 4, 2048),
    (768, 8192, 32, 2048),
    (768, 24576, 32, 2048),
]


def seconds(work: Callable[[], object], times: int = 3) -> float:
    """CPU seconds of one call: the best round."""
    work()
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(times):
            work()
        best = min(best, (time.process_time() - began) / times)
    return best


def activations(batch: int, d_in: int) -> Tensor:
    """Sums of few directions with noise, scaled to a mean norm of sqrt(d_in)."""
    generator = torch.Generator().manual_seed(0)
    directions = torch.nn.functional.normalize(torch.randn(4 * d_in, d_in, generator=generator))
    on = torch.rand(batch, 4 * d_in, generator=generator) < 8 / (4 * d_in)
    x = on.float() @ directions + 0.1 * torch.randn(batch, d_in, generator=generator)
    return x * (d_in**0.5 / x.norm(dim=1).mean())


def peaks(precision: Precision) -> tuple[float, float]:
    """Floating-point operations and bytes per second: a large product, a large copy."""
    left, right = (rounded(torch.randn(2048, 2048), precision) for _ in range(2))
    product = 2 * 2048**3 / seconds(lambda: left @ right)
    source, target = torch.randn(1 << 25), torch.empty(1 << 25)
    return product, 2 * source.nbytes / seconds(lambda: target.copy_(source))


def step_parts(precision: Precision) -> None:
    """The table of kernels."""
    x, encoder = activations(BATCH, D_IN), torch.randn(D_SAE, D_IN)
    normalise_rows(encoder)
    decoder, bias = encoder.clone(), torch.zeros(D_SAE)
    codes = top_columns(x, encoder, bias, K)
    fit = reconstruct(codes, decoder, x)
    gradient, other, adam = (
        torch.empty_like(encoder),
        torch.empty_like(encoder),
        Adam([encoder, decoder]),
    )
    narrow, wide = rounded(x, precision), rounded(encoder, precision)
    out = narrow.new_empty(BATCH, D_SAE)
    pre = torch.randn(BATCH, D_SAE)
    gathered, matrix, size = 2 * BATCH * K * D_IN, encoder.nbytes, encoder.numel()
    parts: list[tuple[str, Callable[[], object], float, float]] = [
        ("encoder product", lambda: torch.mm(narrow, wide.T, out=out), 2 * BATCH * D_IN * D_SAE,
         narrow.nbytes + wide.nbytes + out.nbytes),
        ("top-k of stored pre-activations", lambda: top_k(pre, K), 0, pre.nbytes),
        ("product and top-k in blocks", lambda: top_columns(x, encoder, bias, K),
         2 * BATCH * D_IN * D_SAE, matrix),
        ("decode, error, its products", lambda: reconstruct(codes, decoder, x), 2 * gathered,
         matrix),
        ("sort entries by latent", lambda: ByColumn(codes, D_SAE), 0, 5 * codes.columns.nbytes),
        ("both weight gradients, with that sort",
         lambda: sparse_gradients(codes, fit, x, 0.1, gradient, other), 2 * gathered, 2 * matrix),
        ("norm of both gradients", lambda: clip_factor([gradient, gradient], 1.0), 4 * size,
         2 * matrix),
        ("Adam on both matrices", lambda: adam.step([gradient, gradient], 0.0), 20 * size,
         2 * 7 * matrix),
        ("decoder rows to norm 1", lambda: normalise_rows(decoder), 3 * size, 2 * matrix),
    ]  # fmt: skip
    flops, bandwidth = peaks(precision)
    print(
        f"{precision}: {flops / 1e9:,.0f} GFLOP/s in products, {bandwidth / 1e9:.1f} GB/s copying"
    )
    print(f"{'':>34} {'ms':>7} {'arithmetic':>11} {'memory':>8}   least time as a share")
    for name, work, operations, moved in parts:
        took = seconds(work)
        shares = operations / flops / took, moved / bandwidth / took
        print(f"{name:>34} {1e3 * took:>7.2f} {shares[0]:>11.0%} {shares[1]:>8.0%}")


def whole_steps() -> None:
    """The table of sizes."""
    print(
        f"\n{'d_in':>6} {'width':>6} {'k':>4} {'batch':>6} {'ms a step':>10} {'with dead':>10}",
        end="",
    )
    print(f"{'tokens/s':>10} {'float32':>9} {'bfloat16':>9}   step over the faster product")
    for d_in, d_sae, k, batch in GROWTH:
        settings = TrainSettings(
            d_sae=d_sae, sparsity=k, tokens=batch * 10**6, batch_size=batch, dead_after=10**9
        )
        x, took = activations(batch, d_in), []
        for dead in (0.0, 0.3):
            trainer = Trainer(settings, Side(1.0, torch.zeros(d_in), 1.0))
            if dead:
                mask = torch.arange(d_sae) < dead * d_sae
                trainer._dead = lambda mask=mask: mask  # type: ignore[method-assign, misc]
            took.append(seconds(lambda step=trainer.step, x=x: step(x)))
        weights = torch.randn(d_sae, d_in)
        products = []
        for precision in ("float32", "bfloat16"):
            left, right = rounded(x, precision), rounded(weights, precision).T
            out = left.new_empty(batch, d_sae)
            products.append(seconds(lambda a=left, b=right, c=out: torch.mm(a, b, out=c)))
        print(
            f"{d_in:>6} {d_sae:>6} {k:>4} {batch:>6} {1e3 * took[0]:>10.2f} {1e3 * took[1]:>10.2f}"
            f"{batch / took[0]:>10,.0f} {1e3 * products[0]:>9.2f} {1e3 * products[1]:>9.2f}"
            f"   {took[0] / min(products):>5.2f}",
            flush=True,
        )


def main() -> None:
    """Print both tables."""
    native.use_threads(1)
    for precision in ("float32", "bfloat16"):
        step_parts(precision)
    whole_steps()


if __name__ == "__main__":
    main()

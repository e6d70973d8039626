"""Training speed of TopK SAEs: ours against a plain dense autograd step, in one process.

Run as ``python benchmarks/train.py [--threads 1] [--seconds 5]``. Both train on the same batches
from the same weights with the same Adam. The table shows tokens per CPU second; below it stand the
squared errors after equal steps, which must agree. Rounds are interleaved and the best one counts:
on a shared machine a slow round says nothing about the code.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from interpsweep.config.saes import TrainSettings
from interpsweep.saes.trainer import Side, Trainer

BATCH = 2048
# (d_in, d_sae, k)
CASES = [(64, 128, 8), (64, 256, 8), (64, 512, 16), (64, 1024, 16), (384, 8192, 32)]
ROUNDS = 3


@dataclass
class Plain:
    """The step as most trainers write it: dense activations, autograd, Adam."""

    encoder: Tensor
    decoder: Tensor
    b_enc: Tensor
    b_dec: Tensor
    k: int

    def __post_init__(self) -> None:
        self.weights = [self.encoder, self.decoder, self.b_enc, self.b_dec]
        for weight in self.weights:
            weight.requires_grad_()
        self.adam = torch.optim.Adam(self.weights, lr=1e-3)

    def step(self, x: Tensor) -> float:
        """One step; return the squared error per token."""
        pre = (x - self.b_dec) @ self.encoder.T + self.b_enc
        values, columns = pre.topk(self.k, sorted=False)
        acts = torch.zeros_like(pre).scatter(1, columns, values.relu())
        loss = (acts @ self.decoder + self.b_dec - x).square().sum(1).mean()
        self.adam.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.weights, 1.0)
        self.adam.step()
        with torch.no_grad():
            self.decoder.div_(self.decoder.norm(dim=1, keepdim=True))
        return float(loss.detach())


def data(d_in: int, batches: int = 8) -> list[Tensor]:
    """Batches with structure: sparse sums of 4 d_in directions, and some noise."""
    generator = torch.Generator().manual_seed(0)
    directions = torch.nn.functional.normalize(torch.randn(4 * d_in, d_in, generator=generator))
    found = []
    for _ in range(batches):
        strength = torch.rand(BATCH, 4 * d_in, generator=generator)
        on = torch.rand(BATCH, 4 * d_in, generator=generator) < 8 / (4 * d_in)
        noise = 0.1 * torch.randn(BATCH, d_in, generator=generator)
        found.append((strength * on) @ directions + noise)
    return found


def ours(d_in: int, d_sae: int, k: int, precision: str) -> Trainer:
    """A trainer with a constant learning rate."""
    settings = TrainSettings(
        d_sae=d_sae, sparsity=k, tokens=BATCH * 10**6, batch_size=BATCH, learning_rate=1e-3,
        warm_up=0, decay=0, precision=precision, dead_after=BATCH * 10**6,
    )  # fmt: skip
    return Trainer(settings, Side(1.0, torch.zeros(d_in), 1.0))


def measure(step: Callable[[Tensor], object], batches: list[Tensor], seconds: float) -> float:
    """Tokens per CPU second over about `seconds` of CPU time."""
    began, steps = time.process_time(), 0
    while time.process_time() - began < seconds:
        step(batches[steps % len(batches)])
        steps += 1
    return steps * BATCH / (time.process_time() - began)


def error(trainer: Trainer, batches: list[Tensor]) -> float:
    """Squared error per token after 60 more steps."""
    for step in range(60):
        trainer.step(batches[step % len(batches)])
    return float(trainer.sae.step(batches[0], batches[0], 0.0, None).squared_error)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=3, help="per trainer and round")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"{'case':>20} {'plain':>10} {'float32':>10} {'bfloat16':>10}   tokens per CPU second")
    for d_in, d_sae, k in CASES:
        batches = data(d_in)
        fast = {p: ours(d_in, d_sae, k, p) for p in ("float32", "bfloat16")}
        weights = fast["float32"].sae.parameters
        plain = Plain(*(w.clone() for w in weights.values()), k=k)
        steps = {"plain": plain.step, **{p: trainer.step for p, trainer in fast.items()}}
        best = dict.fromkeys(steps, 0.0)
        for _ in range(ROUNDS):
            for name, step in steps.items():
                best[name] = max(best[name], measure(step, batches, options.seconds))
        row = " ".join(f"{best[name]:>10,.0f}" for name in steps)
        gain = best["bfloat16"] / best["plain"], best["float32"] / best["plain"]
        print(f"{d_in:>6} {d_sae:>6} {k:>6} {row}   {gain[1]:.1f}x, {gain[0]:.1f}x", flush=True)
    equal_loss(batches)


def equal_loss(batches: list[Tensor]) -> None:
    """Squared errors after the same 60 steps from the same weights (the last case)."""
    d_in, d_sae, k = CASES[-1]
    fresh = ours(d_in, d_sae, k, "float32")
    plain = Plain(*(w.clone() for w in fresh.sae.parameters.values()), k=k)
    for step in range(60):
        plain.step(batches[step % len(batches)])
    shown = {p: error(ours(d_in, d_sae, k, p), batches) for p in ("float32", "bfloat16")}
    print("squared error after 60 steps:", {"plain": plain.step(batches[0]), **shown})


if __name__ == "__main__":
    main()

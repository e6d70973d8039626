"""Adam on float32 masters, with the gradient's clipping factor folded in.

Kingma and Ba 2015 (arXiv 1412.6980), algorithm 1, with betas 0.9 and 0.999 and epsilon 1e-8. On a
CPU one compiled pass reads and writes each array once; elsewhere it is torch's fused kernel.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from interpsweep.saes.kernels import native
from interpsweep.saes.kernels.native import rows, spread

BETAS = (0.9, 0.999)
EPSILON = 1e-8
_CONSTANTS = tuple(np.float32(number) for number in (*BETAS, EPSILON))


class Adam:
    """Moves `weights` (float32, 1- or 2-dimensional) in place.

    `factors`, one for each of them, multiply the learning rate; by default all are 1.
    """

    def __init__(self, weights: Sequence[Tensor], factors: Sequence[float] = ()) -> None:
        self.weights = list(weights)
        self.factors = list(factors) or [1.0] * len(self.weights)
        self.means = [torch.zeros_like(weight) for weight in weights]
        self.squares = [torch.zeros_like(weight) for weight in weights]
        self.steps = 0
        self._held: list[list[np.ndarray]] = []  # the same memory, as compiled loops take it

    def step(self, gradients: Sequence[Tensor], rate: float, factor: Tensor | None = None) -> None:
        """One update by `gradients`, each multiplied by `factor` (), at learning rate `rate`."""
        self.steps += 1
        if native.serves(self.weights[0]):
            self._compiled(gradients, rate, 1.0 if factor is None else float(factor))
        else:
            self._fused(gradients, rate, factor)

    def _compiled(self, gradients: Sequence[Tensor], rate: float, factor: float) -> None:
        mean_bias, square_bias = (1 - beta**self.steps for beta in BETAS)
        if not self._held:
            each = zip(self.weights, self.means, self.squares, strict=True)
            self._held = [[_rows(tensor) for tensor in tensors] for tensors in each]
        damping = np.float32(square_bias**-0.5)
        for held, gradient, faster in zip(self._held, gradients, self.factors, strict=True):
            numbers = np.float32(factor), np.float32(faster * rate / mean_bias), damping
            spread(rows.adam_rows, len(held[0]), *held, _rows(gradient), *numbers, *_CONSTANTS)

    def _fused(self, gradients: Sequence[Tensor], rate: float, factor: Tensor | None) -> None:
        if factor is not None:
            torch._foreach_mul_(list(gradients), factor)
        for faster in sorted(set(self.factors)):
            alike = [i for i, own in enumerate(self.factors) if own == faster]
            lists = (self.weights, gradients, self.means, self.squares)
            weights, gradient, means, squares = ([tensors[i] for i in alike] for tensors in lists)
            steps = [torch.full((), float(self.steps), device=w.device) for w in weights]
            torch._fused_adam_(
                weights,
                gradient,
                means,
                squares,
                [],
                steps,
                lr=faster * rate,
                beta1=BETAS[0],
                beta2=BETAS[1],
                weight_decay=0.0,
                eps=EPSILON,
                amsgrad=False,
                maximize=False,
            )

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint must keep, by name."""
        named = {"steps": torch.tensor(self.steps)}
        for i, (mean, square) in enumerate(zip(self.means, self.squares, strict=True)):
            named |= {f"{i}.mean": mean, f"{i}.square": square}
        return named

    def load(self, state: dict[str, Tensor]) -> None:
        """Take up what `state` returned."""
        self.steps = int(state["steps"])
        for i, (mean, square) in enumerate(zip(self.means, self.squares, strict=True)):
            mean.copy_(state[f"{i}.mean"])
            square.copy_(state[f"{i}.square"])


def clip_factor(gradients: Sequence[Tensor], largest: float) -> Tensor:
    """What to multiply gradients with so that their joint norm is at most `largest`, ()."""
    if native.serves(gradients[0]):
        total = sum(_square_sum(gradient) for gradient in gradients)
        norm = torch.tensor(total, dtype=torch.float64).sqrt()
    else:
        norm = torch.nn.utils.get_total_norm(gradients, foreach=True)
    return (largest / (norm + 1e-12)).clamp(max=1.0)


def _square_sum(gradient: Tensor) -> float:
    view = _rows(gradient)
    sums = np.empty(len(view))
    spread(rows.square_sums, len(view), view, sums)
    return float(sums.sum())


def _rows(tensor: Tensor) -> np.ndarray:
    """A vector or a matrix as a matrix."""
    array = tensor.contiguous().numpy()
    return array if array.ndim == 2 else array[None]


def normalise_rows(weight: Tensor) -> None:
    """Divide the rows of (n, d) float32 by their norms, in place."""
    if native.serves(weight):
        spread(rows.unit_rows, len(weight), weight.numpy())
    else:
        weight.div_(weight.norm(dim=1, keepdim=True).clamp_min_(1e-12))

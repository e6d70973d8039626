"""Toy models that the worlds are learned with: superposition, and SAEs on data held in memory."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from interpsweep.config.saes import TrainSettings
from interpsweep.saes.trainer import Side, Trainer


def superposition(
    batch: Callable[[int], np.ndarray],
    n: int,
    m: int,
    instances: int,
    steps: int,
    rate: float = 1e-2,
    relu: bool = True,
) -> tuple[np.ndarray, np.ndarray]:
    """Autoencoders y = ReLU(W'W x + b) through m dimensions, several at once.

    `batch(step)` gives rows (b, n). Returns W (instances, m, n) and the loss of each instance, the
    mean over the last tenth of the steps of the squared error summed over features.
    """
    torch.manual_seed(0)
    w = (torch.randn(instances, m, n) / np.sqrt(n)).requires_grad_()
    bias = torch.zeros(instances, 1, n, requires_grad=True)
    adam = torch.optim.Adam([w, bias], rate)
    late = torch.zeros(instances)
    for step in range(steps):
        adam.param_groups[0]["lr"] = rate * min(1.0, (steps - step) / (0.5 * steps))
        x = torch.tensor(batch(step), dtype=torch.float32)
        y = (x @ w.transpose(1, 2)) @ w + bias
        loss = ((y.relu() if relu else y) - x).square().sum(-1).mean(-1)
        adam.zero_grad()
        loss.sum().backward()
        adam.step()
        if step >= 0.9 * steps:
            late += loss.detach() / (0.1 * steps)
    return w.detach().double().numpy(), late.numpy()


def l1_sae(
    batch: Callable[[int], np.ndarray], d_in: int, d_sae: int, penalty: float, steps: int, seed: int
) -> Trainer:
    """A ReLU SAE with the decoder-norm weighted L1 penalty, trained by the trainer of the stage."""
    rows = len(batch(0))
    settings = TrainSettings(
        architecture="relu",
        d_sae=d_sae,
        sparsity=penalty,
        seed=seed,
        batch_size=rows,
        tokens=steps * rows,
        learning_rate=1e-3,
        scale_activations="none",
        auxiliary_coefficient=0.0,
        decoder_bias="zero",
        gradient_clip=None,
    )
    trainer = Trainer(settings, Side(1.0, torch.zeros(d_in), 1.0))
    for step in range(steps):
        trainer.step(torch.tensor(batch(step), dtype=torch.float32))
    return trainer


def decoder(trainer: Trainer, least: float = 1e-3) -> np.ndarray:
    """Unit decoder rows of the latents that fired at the end of the training, float64."""
    rows = trainer.sae.parameters["decoder"].double().numpy()
    alive = (trainer.recent.numpy() > 0) & (np.linalg.norm(rows, axis=1) > least)
    return rows[alive] / np.linalg.norm(rows[alive], axis=1, keepdims=True)

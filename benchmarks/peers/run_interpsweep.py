"""Our trainer on a job of `common`."""

from __future__ import annotations

from pathlib import Path

import torch
from common import Job, Step, main

from interpsweep.config.saes import TrainSettings
from interpsweep.saes.kernels import native
from interpsweep.saes.trainer import Side, Trainer


def make(job: Job, d_in: int) -> tuple[Step, object]:
    """The trainer's step, and its export."""
    native.use_threads(job.threads)
    settings = TrainSettings(
        architecture=job.architecture,
        d_sae=job.d_sae,
        sparsity=job.sparsity,
        tokens=job.steps * job.batch,
        batch_size=job.batch,
        learning_rate=job.rate,
        warm_up=job.warm_up / job.steps,
        decay=job.decay / job.steps,
        sparsity_warm_up=job.sparsity_warm_up / job.steps,
        jumprelu_penalty=job.penalty,
        precision=job.precision,
        log_points=1,
    )
    trainer = Trainer(settings, Side(1.0, torch.zeros(d_in), 1.0), device=job.device)

    def step(x: torch.Tensor, number: int) -> float:
        before = float(trainer.sums[1])
        trainer.step(x)
        if trainer.finished:  # the sums became the row of the log
            return float("nan")
        return float(trainer.sums[1]) - before

    def save(out: Path) -> None:
        trainer.write(out, {})

    return step, save


if __name__ == "__main__":
    main(make)

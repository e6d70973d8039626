"""dictionary_learning's TopK trainer on a job of `common`."""

from __future__ import annotations

from pathlib import Path

import torch
from common import Job, Step, main, write_topk
from dictionary_learning.trainers.top_k import TopKTrainer


def make(job: Job, d_in: int) -> tuple[Step, object]:
    """The trainer's update, and its weights."""
    trainer = TopKTrainer(
        steps=job.steps,
        activation_dim=d_in,
        dict_size=job.d_sae,
        k=int(job.sparsity),
        layer=0,
        lm_name="none",
        lr=job.rate,
        warmup_steps=job.warm_up,
        decay_start=job.steps - job.decay,
        seed=0,
        device=job.device,
    )
    seen: list[torch.Tensor] = []
    loss = trainer.loss

    def noted(x: torch.Tensor, **keywords: object) -> torch.Tensor:
        value = loss(x, **keywords)
        seen[:] = [value.detach()]  # no latent is dead yet in these jobs: this is the squared error
        return value

    trainer.loss = noted

    def step(x: torch.Tensor, number: int) -> torch.Tensor:
        trainer.update(number, x)
        return seen[0]

    def save(out: Path) -> None:
        ae = trainer.ae
        k = int(job.sparsity)
        write_topk(out, ae.encoder.weight.T, ae.decoder.weight.T, ae.encoder.bias, ae.b_dec, k)

    return step, save


if __name__ == "__main__":
    main(make)

"""SAELens' own trainer on a job of `common`, with its defaults where the job is silent."""

from __future__ import annotations

import itertools
from pathlib import Path

import sae_lens
import torch
from common import Job, Step, main
from sae_lens.config import SAETrainerConfig
from sae_lens.training.sae_trainer import SAETrainer

CLASSES = {
    "topk": ("TopKTrainingSAE", "TopKTrainingSAEConfig"),
    "batchtopk": ("BatchTopKTrainingSAE", "BatchTopKTrainingSAEConfig"),
    "relu": ("StandardTrainingSAE", "StandardTrainingSAEConfig"),
    "jumprelu": ("JumpReLUTrainingSAE", "JumpReLUTrainingSAEConfig"),
    "gated": ("GatedTrainingSAE", "GatedTrainingSAEConfig"),
    "matryoshka": ("MatryoshkaBatchTopKTrainingSAE", "MatryoshkaBatchTopKTrainingSAEConfig"),
}
SPARSITY = {"relu": "l1", "gated": "l1", "jumprelu": "l0"}


def make(job: Job, d_in: int) -> tuple[Step, object]:
    """The trainer's step, and its export for inference."""
    made, config = (getattr(sae_lens, name) for name in CLASSES[job.architecture])
    if kind := SPARSITY.get(job.architecture):
        own = {
            f"{kind}_coefficient": job.sparsity,
            f"{kind}_warm_up_steps": job.sparsity_warm_up,
        }
    else:
        # rows of norm 1, as ours start; from SAELens' 0.1 a step moves weights ten times as far
        own = {"k": int(job.sparsity), "decoder_init_norm": 1.0}
    if job.architecture == "matryoshka":  # ours has the same nested widths by default
        own["matryoshka_widths"] = [round(share * job.d_sae) for share in job.levels]
    sae = made(config(d_in=d_in, d_sae=job.d_sae, device=job.device, dtype="float32", **own))
    trainer = SAETrainer(
        SAETrainerConfig(
            total_training_samples=job.steps * job.batch,
            train_batch_size_samples=job.batch,
            lr=job.rate,
            lr_end=0.0,
            lr_warm_up_steps=job.warm_up,
            lr_decay_steps=job.decay,
            device=job.device,
            autocast=job.precision == "bfloat16",
        ),
        sae,
        itertools.repeat(torch.empty(0)),
    )

    def step(x: torch.Tensor, number: int) -> float:
        output = trainer.step(x)
        trainer.n_training_steps += 1
        return output.losses["mse_loss"].detach()

    def save(out: Path) -> None:
        sae.save_inference_model(str(out))

    return step, save


if __name__ == "__main__":
    main(make)

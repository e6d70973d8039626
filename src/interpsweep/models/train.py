"""Training a small transformer on the planted language, for stage ``model``.

The data of a step are a pure function of (settings, step), arithmetic is float32, and the state is
saved every few seconds; a run that was killed therefore continues to the same bytes (on one CPU
model and set of package versions) as one that was not.
"""

from __future__ import annotations

import json
import math
import os
import time
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import save_file

from interpsweep.config.models import TrainingSettings, TrainModelSettings
from interpsweep.context import Context, Stopped
from interpsweep.errors import UserError
from interpsweep.models import native
from interpsweep.spec import Spec, digest
from interpsweep.tables import write_parquet
from interpsweep.worlds import language

CHECKPOINT = "checkpoint.safetensors"
CHECKPOINT_EVERY = 20.0  # seconds
BETAS = (0.9, 0.98)
# Streams of the language that no corpus uses (corpora have small seeds), one for each purpose.
_TRAINING_STREAM, _VALIDATION_STREAM = 1 << 32, 1 << 33
_POOL = 512  # contexts drawn at once
_VALIDATION_CONTEXTS = 256


def run(spec: Spec, inputs: dict[str, Any], out: Path, ctx: Context) -> dict[str, Any]:
    """Train the model that `spec` describes; return its losses in nats per token.

    Of a model that takes no step, the initial weights are written and there is no training loss.
    """
    settings = TrainModelSettings(**spec["settings"])
    torch.set_num_threads(max(1, ctx.threads))
    world = language(settings.language)
    config = native.native_config(settings.architecture, len(world.vocabulary), settings.seed)
    model = native.build(config).to(ctx.device)
    length = settings.architecture.n_ctx

    @lru_cache(maxsize=2)
    def pool(index: int) -> np.ndarray:
        seed = _TRAINING_STREAM + settings.seed
        return world.sample(_POOL, length, seed, first=index * _POOL).tokens

    def batch(step: int) -> torch.Tensor:
        size = settings.training.batch_size
        contexts = np.arange(step * size, (step + 1) * size)
        pools = {index: pool(index) for index in np.unique(contexts // _POOL).tolist()}
        rows = [pools[int(c) // _POOL][int(c) % _POOL] for c in contexts]
        return torch.from_numpy(np.stack(rows).astype(np.int64)).to(ctx.device)

    trainer = Trainer(model, settings.training, out / CHECKPOINT, digest(spec))
    began, first = time.monotonic(), trainer.step
    with ctx.bar(settings.training.steps, "training the model", unit="steps") as bar:
        bar.advance(trainer.step)
        for step in range(trainer.step, settings.training.steps):
            trainer.update(batch(step))
            bar.advance()
            if ctx.stopping:
                trainer.save()
                raise Stopped(f"model: stopped after step {step + 1}; the same command continues")
    done = (settings.training.steps - first) * settings.training.batch_size * length
    ctx.record(tokens_per_second=round(done / max(time.monotonic() - began, 1e-9)))

    held_out = world.sample(_VALIDATION_CONTEXTS, length, _VALIDATION_STREAM + settings.seed).tokens
    native.save(model, config, list(world.vocabulary), out)
    write_parquet(trainer.log(), out / "training.parquet")
    (out / CHECKPOINT).unlink(missing_ok=True)
    tail = trainer.losses[-50:]
    return {
        "loss": sum(tail) / len(tail) if tail else None,
        "validation_loss": mean_loss(model, held_out, settings.training.batch_size),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "tokens": settings.training.steps * settings.training.batch_size * length,
    }


class Trainer:
    """A model with its optimiser, its log and a checkpoint file that it resumes from.

    `identity` names the spec: a checkpoint of another one is not used.
    """

    def __init__(
        self, model: torch.nn.Module, settings: TrainingSettings, path: Path, identity: str
    ) -> None:
        self.model, self.settings, self.path, self.identity = model, settings, path, identity
        self.parameters = dict(model.named_parameters())
        matrices = [p for p in self.parameters.values() if p.ndim > 1]
        vectors = [p for p in self.parameters.values() if p.ndim <= 1]
        groups: list[dict[str, Any]] = [
            {"params": matrices},
            {"params": vectors, "weight_decay": 0.0},
        ]
        self.optimiser = torch.optim.AdamW(
            groups, lr=1.0, betas=BETAS, weight_decay=settings.weight_decay, fused=True
        )
        self.losses: list[float] = []
        self._saved = time.monotonic()
        if path.exists():
            self._resume()

    @property
    def step(self) -> int:
        """Number of updates done."""
        return len(self.losses)

    def update(self, tokens: torch.Tensor) -> None:
        """One step on tokens (batch, length). Raises UserError if the loss is not finite."""
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(self.settings, self.step)
        self.optimiser.zero_grad(set_to_none=True)
        loss = next_token_loss(self.model, tokens)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.max_gradient_norm)
        value = loss.item()
        if not math.isfinite(value):
            raise UserError(
                f"model: the loss is {value} at step {self.step + 1} of {self.settings.steps}. "
                f"Lower learning_rate (now {self.settings.learning_rate:g}) or raise warmup_steps"
            )
        self.optimiser.step()
        self.losses.append(value)
        if time.monotonic() - self._saved > CHECKPOINT_EVERY:
            self.save()

    def log(self) -> pd.DataFrame:
        """One row per step: step (from 1), loss (nats per token), learning_rate."""
        steps = np.arange(1, self.step + 1)
        rates = [learning_rate(self.settings, step) for step in range(self.step)]
        log = pd.DataFrame({"step": steps, "loss": self.losses, "learning_rate": rates})
        return log.astype({"loss": np.float64, "learning_rate": np.float64})

    def save(self) -> None:
        """Write the checkpoint: whole or not at all."""
        tensors = {"losses": torch.tensor(self.losses, dtype=torch.float64)}
        for name, parameter in self.parameters.items():
            tensors[f"weight.{name}"] = parameter.detach()
            for key, value in self.optimiser.state[parameter].items():
                tensors[f"{key}.{name}"] = value
        tensors = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
        partial = self.path.with_name(self.path.name + ".partial")
        save_file(tensors, partial, metadata={"of": json.dumps(self.identity)})
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(partial, self.path)
        self._saved = time.monotonic()

    @torch.no_grad()
    def _resume(self) -> None:
        with safe_open(self.path, "pt") as file:
            if json.loads(file.metadata()["of"]) != self.identity:
                raise UserError(f"{self.path}: checkpoint of another model; delete it")
            self.losses = file.get_tensor("losses").tolist()
            for name, parameter in self.parameters.items():
                parameter.copy_(file.get_tensor(f"weight.{name}"))
                self.optimiser.state[parameter] = {
                    "step": file.get_tensor(f"step.{name}").to(parameter.device),
                    "exp_avg": file.get_tensor(f"exp_avg.{name}").to(parameter.device),
                    "exp_avg_sq": file.get_tensor(f"exp_avg_sq.{name}").to(parameter.device),
                }


def learning_rate(settings: TrainingSettings, step: int) -> float:
    """Learning rate of update `step` (from 0): linear warm-up, then half a cosine down to zero."""
    if step < settings.warmup_steps:
        return settings.learning_rate * (step + 1) / settings.warmup_steps
    left = max(settings.steps - settings.warmup_steps, 1)
    progress = (step - settings.warmup_steps + 1) / (left + 1)
    return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))


def next_token_loss(model: torch.nn.Module, tokens: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy, in nats, of every token (batch, length) but the first of a context."""
    logits = model(tokens[:, :-1])
    return F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())


@torch.no_grad()
def mean_loss(model: torch.nn.Module, tokens: np.ndarray, batch_size: int) -> float:
    """Mean loss over contexts (contexts, length), `batch_size` at a time."""
    device = next(model.parameters()).device
    total = 0.0
    for start in range(0, len(tokens), batch_size):
        piece = torch.from_numpy(tokens[start : start + batch_size].astype(np.int64)).to(device)
        total += next_token_loss(model, piece).item() * len(piece)
    return total / len(tokens)

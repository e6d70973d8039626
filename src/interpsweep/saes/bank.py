"""A bank: SAEs that are trained in lock-step on the batches of one stream."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from interpsweep.context import Context
from interpsweep.jobs import Item
from interpsweep.saes.trainer import CHECKPOINT, Diverged, Trainer

CHECKPOINT_SECONDS = 60.0  # between checkpoints of a bank ...
CHECKPOINT_SHARE = 0.03  # ... or longer, so that writing them takes at most this share of the time


class Batches(Protocol):
    """Where batches come from; see `activations.reader.Stream`."""

    def batch(self, step: int) -> np.ndarray:
        """Activations (batch, d_in) float32 of a step."""
        ...


@dataclass
class Member:
    """One item of a bank with its trainer."""

    item: Item
    trainer: Trainer
    about: dict[str, Any]  # goes into cfg.json

    @property
    def name(self) -> str:
        """How errors call it."""
        s = self.trainer.settings
        site = self.about.get("hook_name", "activations")
        return f"{site}: SAE {s.architecture} d_sae={s.d_sae} sparsity={s.sparsity:g} seed={s.seed}"

    def finish(self) -> None:
        """Export and publish."""
        (self.item.out / CHECKPOINT).unlink(missing_ok=True)
        self.item.publish(self.trainer.write(self.item.out, self.about))


def train_bank(members: Sequence[Member], stream: Batches, ctx: Context) -> list[str]:
    """Train in lock-step, those that are behind first; return a message for each that failed."""
    running = list(members)
    failures: list[str] = []
    began, steps = time.monotonic(), 0
    left = sum(m.trainer.settings.steps - m.trainer.done for m in running)
    batch = members[0].trainer.settings.batch_size
    clock = _CheckpointClock()
    with ctx.bar(left * batch, "training", unit="tok") as bar:
        while running and not ctx.stopping:
            number = min(m.trainer.done for m in running)
            now = [m for m in running if m.trainer.done == number and not m.trainer.finished]
            failed = _one_step(now, stream, number, ctx.device) if now else {}
            failures += failed.values()
            steps += len(now)
            bar.advance(len(now) * batch)
            for member in [
                m for m in running if m.trainer.finished and m.item.digest not in failed
            ]:
                _publish(member, ctx, steps * batch / max(time.monotonic() - began, 1e-9))
                running.remove(member)
            running = [m for m in running if m.item.digest not in failed]
            if clock.due():
                clock.save(running)
    clock.save(running)  # empty unless stopping
    return failures


def _one_step(members: list[Member], stream: Batches, number: int, device: str) -> dict[str, str]:
    """One batch for all `members`; return messages by digest for those whose loss diverged."""
    rows = torch.from_numpy(stream.batch(number)).to(device)
    scaled: dict[float, Tensor] = {}
    failed = {}
    for member in members:
        scale = member.trainer.scale
        if scale not in scaled:
            scaled[scale] = rows * scale  # a fresh tensor, so that alignment is always the same
        try:
            member.trainer.step(scaled[scale])
        except Diverged as error:
            failed[member.item.digest] = (
                f"{member.name}: {error}. Lower learning_rate, or look for outliers in the "
                "activations; the last good checkpoint is kept"
            )
    return failed


def _publish(member: Member, ctx: Context, rate: float) -> None:
    ctx.record(tokens_per_second=round(rate, 1))
    member.finish()


class _CheckpointClock:
    """When to write checkpoints: every minute, less often if writing them is slow."""

    def __init__(self) -> None:
        self.next = time.monotonic() + CHECKPOINT_SECONDS

    def due(self) -> bool:
        return time.monotonic() >= self.next

    def save(self, members: Iterable[Member]) -> None:
        began = time.monotonic()
        for member in members:
            member.trainer.save(member.item.out, member.item.digest)
        took = time.monotonic() - began
        self.next = time.monotonic() + max(CHECKPOINT_SECONDS, took / CHECKPOINT_SHARE)

"""A bank: SAEs that are trained in lock-step on the batches of one stream."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from interpsweep.context import Context, Item
from interpsweep.saes.checkpoints import Checkpoints
from interpsweep.saes.trainer import Diverged, Trainer

CHECKPOINT_SHARE = 0.03  # of the time that writing checkpoints may take; else they come later


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
    checkpoints: Checkpoints
    about: dict[str, Any]  # goes into cfg.json
    targets: Batches | None = None  # what a transcoder predicts, the same rows as its stream

    @property
    def name(self) -> str:
        """How errors call it."""
        s = self.trainer.settings
        site = self.about.get("hook_name", "activations")
        return f"{site}: SAE {s.kind} d_sae={s.d_sae} sparsity={s.sparsity:g} seed={s.seed}"

    def save(self) -> None:
        """Write a checkpoint. Raises Diverged if there is nothing sound to write."""
        self.checkpoints.save(self.trainer.done, self.trainer.state())

    def finish(self) -> None:
        """Export and publish."""
        self.item.publish(self.trainer.write(self.item.out, self.about))


def train_bank(members: Sequence[Member], stream: Batches, ctx: Context) -> None:
    """Train in lock-step, those that are behind first. An SAE that diverges is told to its item."""
    running = list(members)
    began, steps = time.monotonic(), 0
    left = sum(m.trainer.settings.steps - m.trainer.done for m in running)
    batch = members[0].trainer.settings.batch_size
    clock = _CheckpointClock(ctx.checkpoint_seconds)
    with ctx.bar(left * batch, "training", unit="tok") as bar:
        while running and not ctx.stopping:
            number = min(m.trainer.done for m in running)
            now = [m for m in running if m.trainer.done == number and not m.trainer.finished]
            running = _sound(running, _one_step(now, stream, number, ctx.device))
            steps += len(now)
            bar.advance(len(now) * batch)
            for member in [m for m in running if m.trainer.finished]:
                ctx.record(
                    tokens_per_second=round(steps * batch / max(time.monotonic() - began, 1e-9), 1)
                )
                member.finish()
                running.remove(member)
            if clock.due():
                running = _sound(running, clock.save(running))
    if ctx.stopping:
        _sound(running, clock.save(running))


Failed = dict[str, str]  # an item's digest -> what went wrong


def _sound(running: list[Member], failed: Failed) -> list[Member]:
    """Those that have not failed; the others are given up."""
    for member in running:
        if member.item.digest in failed:
            member.item.fail(failed[member.item.digest])
    return [member for member in running if member.item.digest not in failed]


def _try(member: Member, action: Callable[[], None], failed: Failed) -> None:
    try:
        action()
    except Diverged as error:
        failed[member.item.digest] = (
            f"{member.name}: {error}. Lower learning_rate, or look for outliers in the "
            "activations; the last good checkpoint is kept"
        )


def _one_step(members: list[Member], stream: Batches, number: int, device: str) -> Failed:
    """One batch for all `members`."""
    failed: Failed = {}
    batches = _Batch(number, device)
    for member in members:
        trainer = member.trainer
        if trainer.read is None:
            sides = [batches.scaled(stream, trainer.wanted.scale)]
        else:
            assert member.targets is not None  # a transcoder has them
            sides = [
                batches.scaled(stream, trainer.read.scale),
                batches.scaled(member.targets, trainer.wanted.scale),
            ]
        _try(member, partial(trainer.step, *sides), failed)
    return failed


class _Batch:
    """The rows of one step, read and scaled once for all that want them."""

    def __init__(self, number: int, device: str) -> None:
        self.number, self.device = number, device
        self._rows: dict[int, Tensor] = {}
        self._scaled: dict[tuple[int, float], Tensor] = {}

    def scaled(self, stream: Batches, scale: float) -> Tensor:
        """The batch of a stream times a factor: a fresh tensor, so it is aligned as any other."""
        if (id(stream), scale) not in self._scaled:
            if id(stream) not in self._rows:
                rows = torch.from_numpy(stream.batch(self.number))
                self._rows[id(stream)] = rows.to(self.device)
            self._scaled[id(stream), scale] = self._rows[id(stream)] * scale
        return self._scaled[id(stream), scale]


class _CheckpointClock:
    """When to write checkpoints: after so many seconds, later if writing them is slow."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.next = time.monotonic() + seconds

    def due(self) -> bool:
        return time.monotonic() >= self.next

    def save(self, members: Iterable[Member]) -> Failed:
        began = time.monotonic()
        failed: Failed = {}
        for member in members:
            _try(member, member.save, failed)
        took = time.monotonic() - began
        pause = max(self.seconds, took / CHECKPOINT_SHARE) if self.seconds else 0.0
        self.next = time.monotonic() + pause
        return failed

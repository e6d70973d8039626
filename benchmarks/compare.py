"""Our trainer against SAELens, dictionary_learning and sparsify: speed, loss curves, quality.

Run as ``python benchmarks/compare.py [--activations store/activations/...]``, after
``scripts/interop-environment.sh`` has made the peers' environment. Every trainer sees the same
batches in the same order with the same learning rates, one after the other, in a process of its
own. What is left to the trainers is their own: initial weights, loss for dead latents, details.

Quality is measured by one piece of code on held-out rows: explained variance as in
`saes.metrics`, L0, and the share of latents that fire on none of them. Writes ``peers.json`` and
``peers.svg`` (loss curves) into ``--out``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

from interpsweep.activations.artifact import Activations
from interpsweep.saes.load import encode_parts, load
from interpsweep.saes.metrics import FiringCounts, Reconstruction, Truth

HERE = Path(__file__).parent
HELD_OUT = 65_536
D_IN = 384  # of generated data
# (architecture, sparsity for our trainer, for SAELens, other trainers)
CASES = {
    "topk": (32, 32, ("dictionary_learning", "sparsify")),
    "batchtopk": (32, 32, ()),
    "relu": (5.0, 5.0, ()),
    "jumprelu": (None, 1.0, ()),  # our target is the L0 that SAELens reaches
    "gated": (5.0, 5.0, ()),
    "matryoshka": (32, 32, ()),
}


def generated(rows: int, seed: int = 0) -> np.ndarray:
    """Sums of few of 4 * D_IN directions, with frequencies over two decades, and some noise."""
    rng = np.random.default_rng(seed)
    directions = rng.standard_normal((4 * D_IN, D_IN))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    frequency = np.geomspace(0.05, 0.0005, 4 * D_IN)
    parts = []
    for first in range(0, rows, 8192):
        n = min(8192, rows - first)
        on = rng.random((n, 4 * D_IN)) < frequency
        strength = on * rng.uniform(0.5, 1.5, (n, 4 * D_IN))
        parts.append(strength @ directions + 0.05 * rng.standard_normal((n, D_IN)))
    return np.concatenate(parts).astype(np.float32)


def stored(path: Path, rows: int) -> np.ndarray:
    """Rows of captured activations in a random order."""
    activations = Activations.open(path)
    first, last = activations.splits["train"]
    if last - first < rows:
        sys.exit(f"{path}: {last - first} training rows, {rows} needed; lower --steps")
    values = np.concatenate(
        [
            activations.read(a, min(a + 65_536, first + rows))
            for a in range(first, first + rows, 65_536)
        ]
    )
    return values[np.random.default_rng(0).permutation(rows)]


def quality(folder: Path, held_out: np.ndarray) -> dict[str, float]:
    """Explained variance, L0 and dead share of the SAE in a directory."""
    sae = load(folder)
    reconstruction, firing = Reconstruction(sae.d_in), FiringCounts(sae.d_sae)
    with torch.no_grad():
        for first in range(0, len(held_out), 8192):
            x = torch.from_numpy(held_out[first : first + 8192])
            hats = []
            for part, codes in encode_parts(sae, x):
                hats.append(sae.reconstruct(part, codes))
                firing.update(codes)
            reconstruction.update(Truth(x), torch.cat(hats))
    found = firing.results(0.1)
    return {
        "explained_variance": reconstruction.results()["explained_variance"],
        "l0": found["l0"],
        "dead": found["dead_fraction"],
    }


def run(trainer: str, python: str, work: Path, job: dict, held_out: np.ndarray) -> dict:
    """Train with one trainer in a process of its own; its result."""
    out = work / f"{trainer}-{job['architecture']}-{job['precision']}"
    out.mkdir()
    (work / "job.json").write_text(json.dumps({**job, "out": str(out)}))
    runner = HERE / "peers" / f"run_{trainer}.py"
    environment = {**os.environ, "OMP_NUM_THREADS": str(job["threads"]), "TQDM_DISABLE": "1"}
    subprocess.run(
        [python, runner, work / "job.json"], check=True, env=environment, stderr=subprocess.PIPE
    )
    result = json.loads((out / "result.json").read_text())
    return {
        "trainer": trainer,
        "architecture": job["architecture"],
        "precision": job["precision"],
        "tokens_per_second": job["batch"] / result["wall"],
        "tokens_per_cpu_second": job["batch"] / result["cpu"],
        "over_the_run": job["batch"] * result["timed_steps"] / result["total"],
        "curve": result["curve"],
        **quality(out, held_out),
    }


def show(row: dict, base: dict | None) -> None:
    """One line of the table."""
    speed = row["over_the_run"]
    ratio = "" if base is None else f"{speed / base['over_the_run']:6.1f}x"
    print(
        f"{row['architecture']:>11} {row['trainer']:>20} {row['precision']:>9} {speed:>9,.0f} "
        f"{ratio:>7} {row['explained_variance']:>8.4f} {row['l0']:>7.1f} {row['dead']:>7.2%}",
        flush=True,
    )


def draw(rows: list[dict], path: Path) -> None:
    """Loss curves, one panel per architecture."""
    import matplotlib.pyplot as plt
    import seaborn as sns

    sns.set_theme(style="ticks", context="paper")
    names = list(dict.fromkeys(row["architecture"] for row in rows))
    figure, axes = plt.subplots(1, len(names), figsize=(2.6 * len(names), 2.4), squeeze=False)
    for name, axis in zip(names, axes[0], strict=True):
        for row in (row for row in rows if row["architecture"] == name):
            steps = np.arange(1, len(row["curve"]) + 1)
            kind = "--" if row["precision"] == "bfloat16" else "-"
            axis.plot(steps, row["curve"], kind, lw=1, label=f"{row['trainer']} {row['precision']}")
        axis.set(title=name, xlabel="step", yscale="log")
        axis.legend(frameon=False, fontsize=5)
    axes[0][0].set_ylabel("squared error per token")
    sns.despine(figure)
    figure.tight_layout()
    figure.savefig(path)


def main() -> None:
    """Run all trainers and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--activations", type=Path, help="a store item; generated data without")
    parser.add_argument("--architectures", nargs="+", choices=CASES, default=list(CASES)[:4])
    parser.add_argument(
        "--others",
        nargs="*",
        default=["bfloat16", "dictionary_learning", "sparsify"],
        help="beside SAELens in float32: its autocast, other trainers",
    )
    parser.add_argument("--width", type=int, default=8192)
    parser.add_argument("--steps", type=int, default=250)
    parser.add_argument("--batch", type=int, default=2048)
    parser.add_argument("--rate", type=float, default=4e-4, help="peak learning rate of them all")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--peers", default=".venv-interop/bin/python", help="the peers' interpreter"
    )
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args()

    batch, steps = options.batch, options.steps
    rows = steps * batch + HELD_OUT
    values = stored(options.activations, rows) if options.activations else generated(rows)
    values *= values.shape[1] ** 0.5 / np.linalg.norm(values, axis=1).mean()
    values, held_out = values[:-HELD_OUT], values[-HELD_OUT:]
    print(
        f"{'':>11} {'trainer':>20} {'precision':>9} {'tokens/s':>9} {'':>7} {'EV':>8} {'L0':>7}"
        "    dead"
    )
    found = []
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        np.save(work / "data.npy", values)
        common = {
            "data": str(work / "data.npy"), "d_sae": options.width, "steps": steps, "batch": batch,
            "rate": options.rate, "warm_up": max(1, steps // 20), "decay": max(1, steps // 5),
            "sparsity_warm_up": max(1, steps // 4), "threads": options.threads,
            "device": options.device,
        }  # fmt: skip
        for name in options.architectures:
            ours, theirs, others = CASES[name]
            job = {**common, "architecture": name, "sparsity": theirs}
            base = run("saelens", options.peers, work, {**job, "precision": "float32"}, held_out)
            show(base, None)
            found.append(base)
            jobs = [("saelens", "bfloat16")] if "bfloat16" in options.others else []
            jobs += [(other, "float32") for other in others if other in options.others]
            for trainer, precision in jobs:
                row = run(trainer, options.peers, work, {**job, "precision": precision}, held_out)
                show(row, base)
                found.append(row)
            sparsity = base["l0"] if ours is None else ours
            for precision in ("float32", "bfloat16"):
                mine = {**job, "precision": precision, "sparsity": sparsity}
                row = run("interpsweep", sys.executable, work, mine, held_out)
                show(row, base)
                found.append(row)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "peers.json").write_text(json.dumps(found, indent=1))
    draw(found, options.out / "peers.svg")


if __name__ == "__main__":
    main()

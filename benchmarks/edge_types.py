"""Where the edge types stop to be right: the ladder world under noise and unequal frequencies.

Every point of the grid is a model of one sweep: an SAE of 11 latents and one of 20, trained with
the recipe of config/sweeps/worlds/ladder.yaml for fewer steps. Prints F1 of edges by type
against the planted tree.

    python benchmarks/edge_types.py --noise 0 0.05 0.1 --ratio 1 0.5 0.25 --tokens 1500000
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "science"))


def config(args: argparse.Namespace) -> dict:
    """A sweep with one model for each point of the grid."""
    world = {"kind": "tree", "d": 64, "roots": 3, "child_probability": 0.2}
    points = [(a, b) for a in args.noise for b in getattr(args, args.against)]
    key = {"ratio": "child_ratio", "magnitude": "child_magnitude", "spread": "magnitude_noise"}
    return {
        "sweep": "edge-types",
        "models": [
            {
                "name": f"{a}_{b}",
                "source": "world",
                "sites": ["blocks.0.hook_resid_post"],
                "world": {**world, "noise": a, key[args.against]: b},
            }
            for a, b in points
        ],
        "corpus": {"source": "generated", "n_tokens": 150_000, "context_length": 32},
        "capture": {"dtype": "float32"},
        "train": {
            "architectures": ["relu"], "widths": [11, 20], "sparsities": [args.penalty],
            "seeds": args.seeds, "tokens": args.tokens, "batch_size": 1024, "learning_rate": 3e-3,
            "warm_up": 0, "scale_activations": "none", "decoder_bias": "zero",
            "gradient_clip": None,
        },
        "match": {"directions": ["width"], "null_draws": 9},
    }  # fmt: skip


def main() -> None:
    from sweeps import Made, edge_scores

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--noise", type=float, nargs="+", default=[0, 0.05, 0.1, 0.2])
    parser.add_argument("--ratio", type=float, nargs="+", default=[1, 0.5, 0.25])
    parser.add_argument("--magnitude", type=float, nargs="+", default=[0.5, 1, 2])
    parser.add_argument("--spread", type=float, nargs="+", default=[0, 0.15, 0.3])
    parser.add_argument("--against", choices=["ratio", "magnitude", "spread"], default="ratio")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--tokens", type=int, default=2_560_000)
    parser.add_argument("--penalty", type=float, default=0.02)
    args = parser.parse_args()
    began = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "grid.yaml"
        path.write_text(json.dumps(config(args)))
        stages = {"corpus", "capture", "train", "encode", "match", "tree"}
        scores = edge_scores(Made(Path(folder) / "store", stages, path))
    scores = scores[scores["level"] == -1]
    grid = scores["model"].str.split("_", expand=True).astype(float)
    scores = scores.assign(noise=grid[0], against=grid[1])
    for name in ("parent_child", "absorption", "identity", "identity_with_holes"):
        of = scores[scores["type"] == name].groupby(["noise", "against"])
        sums = of[["true", "found", "right"]].sum()
        f1 = 2 * sums["right"] / (sums["true"] + sums["found"])
        print(f"\n{name}: F1 by noise (rows) and {args.against} (columns)")
        print(f1.unstack().round(2).to_string())
    print(f"\n{time.process_time() - began:.0f} s of CPU time")


if __name__ == "__main__":
    pd.set_option("display.width", 200)
    main()

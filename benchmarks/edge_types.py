"""Where the edge types are right and where they stop to be, against planted trees.

* `grid`: the ladder world (three parents, nine children, eight features of their own; SAEs of 11
  and 20 latents, L1) under noise crossed with unequal frequencies, with the size of children, and
  with the spread of magnitudes;
* `worlds`: deeper and crowded worlds, SAEs of several architectures and of three widths.

Both keep what they make under --store and go on there. `page` writes from their scores the tables
and the picture of docs/methods.md and the data of the figure `operating`.

    python benchmarks/edge_types.py grid worlds page --store edge-types
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import edge_types_page
import pandas as pd
import yaml

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "science"))

NOISE = (0.0, 0.05, 0.1)
# what is crossed with the noise, and its values; the ladder's own is among them
AXES = {
    "child_ratio": (1.0, 0.5, 0.25),
    "child_magnitude": (0.5, 1.0, 2.0, 4.9),
    "magnitude_noise": (0.0, 0.15, 0.3),
}
PLAIN = {
    "batch_size": 1024, "warm_up": 0, "scale_activations": "none", "decoder_bias": "zero",
    "gradient_clip": None, "learning_rate": 3e-3,
}  # fmt: skip
OWN = {"child_ratio": 1.0, "child_magnitude": 1.0, "magnitude_noise": 0.0}
LADDER = {"kind": "tree", "d": 64, "roots": 3, "child_probability": 0.2}
WORLDS: dict[str, dict[str, Any]] = {
    "deep": {
        "world": {"kind": "tree", "d": 64, "roots": 4, "branching": 3, "depth": 2,
                  "child_probability": 0.25, "independent": 12, "magnitude_noise": 0.15,
                  "noise": 0.02},
        "widths": [16, 32, 64], "k": 3,
    },
    "crowded": {
        "world": {"kind": "tree", "d": 40, "roots": 8, "branching": 3, "depth": 2,
                  "child_probability": 0.25, "independent": 56, "magnitude_noise": 0.15},
        "widths": [16, 48, 144], "k": 6,
    },
    "forest-small": {"config": "forest-small.yaml", "widths": [32, 128, 512], "k": 5},
}  # fmt: skip
STAGES = {"corpus", "capture", "train", "encode", "match", "tree"}


def grid_config(seeds: list[int], tokens: int) -> dict[str, Any]:
    """A sweep with one model for each point of the grid, named by axis, value and noise."""
    points = {
        f"{key}_{value}_{noise}": {**LADDER, "noise": noise, key: value}
        for noise in NOISE
        for key, values in AXES.items()
        for value in values
        if value != OWN[key]
    }
    points |= {f"ladder_1_{noise}": {**LADDER, "noise": noise} for noise in NOISE}
    return {
        "sweep": "edge-types",
        "models": [_model(name, world) for name, world in points.items()],
        "corpus": {"source": "generated", "n_tokens": 150_000, "context_length": 32},
        "capture": {"dtype": "float32"},
        "train": {"architectures": ["relu"], "widths": [11, 20], "sparsities": [0.02],
                  "seeds": seeds, "tokens": tokens, **PLAIN},
        "match": {"directions": ["width"], "null_draws": 9},
    }  # fmt: skip


def world_config(
    name: str, seeds: list[int], tokens: int, architectures: list[str]
) -> dict[str, Any]:
    """A sweep of one world with some architectures."""
    chosen = WORLDS[name]
    world = chosen.get("world")
    if world is None:
        text = (ROOT / "config/sweeps/worlds" / chosen["config"]).read_text(encoding="utf-8")
        world = yaml.safe_load(text)["models"][0]["world"]
    relu = {"architecture": "relu", "sparsities": [0.02], **PLAIN}
    chosen_ones = [relu if kind == "relu" else kind for kind in architectures]
    return {
        "sweep": "edge-types",
        "models": [_model(name, world)],
        "corpus": {"source": "generated", "n_tokens": 400_000, "context_length": 32},
        "capture": {"dtype": "float32"},
        "train": {"architectures": chosen_ones, "widths": chosen["widths"],
                  "sparsities": [chosen["k"]], "seeds": seeds, "tokens": tokens,
                  "batch_size": 1024, "learning_rate": 2e-3},
        "match": {"directions": ["width"], "null_draws": 9},
    }  # fmt: skip


def _model(name: str, world: dict[str, Any]) -> dict[str, Any]:
    sites = ["blocks.0.hook_resid_post"]
    return {"name": name, "source": "world", "sites": sites, "world": world}


def measure(config: dict[str, Any], folder: Path) -> pd.DataFrame:
    """`edge_scores` over all levels of all families of a sweep, in a store that is kept."""
    from sweeps import Made, edge_scores

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "sweep.yaml"
    path.write_text(json.dumps(config), encoding="utf-8")
    scores = edge_scores(Made(folder / "store", STAGES, path))
    kept = ["model", "architecture", "seed", "type", "true", "found", "right"]
    return scores.loc[scores["level"] == -1, kept]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="+", choices=["grid", "worlds", "page"])
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--tokens", type=int, default=2_560_000)
    parser.add_argument(
        "--architectures", nargs="+", default=["topk", "batchtopk", "matryoshka", "relu"]
    )
    parser.add_argument("--worlds", nargs="+", default=list(WORLDS), choices=list(WORLDS))
    args = parser.parse_args()
    args.store = args.store.resolve()
    chosen = {
        name: world_config(name, args.seeds, args.tokens, args.architectures)
        for name in (args.worlds if "worlds" in args.parts else ())
    }
    if "grid" in args.parts:
        chosen["grid"] = grid_config(args.seeds, args.tokens)
    for name, config in chosen.items():
        began = time.process_time()
        scores = measure(config, args.store / name)
        scores.to_json(args.store / f"{name}.json", orient="records", indent=1)
        print(f"{name}: {time.process_time() - began:.0f} s of CPU time", flush=True)
    if "page" in args.parts:
        edge_types_page.write(ROOT, args.store, list(WORLDS))


if __name__ == "__main__":
    main()

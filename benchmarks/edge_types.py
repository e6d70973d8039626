"""Where the edge types are right and where they stop to be, against planted trees.

* `grid`: the rules alone. Dictionaries in closed form, of three parents with three exclusive
  children each and eight features of their own: a narrow one without room for the children, which
  its parents lean into, and a wide one in which they have absorbed their parents. Both encode noisy
  activations; noise is crossed with unequal frequencies, with the size of children, and with the
  spread of magnitudes;
* `worlds`: trained SAEs, in deeper and crowded worlds, of several architectures and three widths.

What is trained is kept under --store, and goes on there. `page` writes from the scores the tables
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

import numpy as np
import pandas as pd
import yaml
from scipy.sparse import csr_matrix

from interpsweep.config.analysis import MatchSettings, TreeSettings
from interpsweep.matching import world_scores
from interpsweep.matching.edges import Level
from interpsweep.matching.match import match
from interpsweep.matching.tree import Step, build

ROOT = Path(__file__).parents[1]
sys.path += [str(ROOT / "tests" / "science"), str(ROOT / "tests" / "unit")]

NOISE = (0.0, 0.02, 0.05, 0.1, 0.2)
# what is crossed with the noise, and its values
AXES = {
    "child_ratio": (1.0, 0.5, 0.25, 0.1),
    "child_magnitude": (0.25, 0.5, 1.0, 2.0, 5.0),
    "magnitude_noise": (0.0, 0.1, 0.2, 0.3, 0.5),
}
OWN = {"child_ratio": 1.0, "child_magnitude": 1.0, "magnitude_noise": 0.0}
PARENTS, CHILDREN, OTHERS, DIM, ROWS = 3, 3, 8, 64, 40_000
LEAST = 0.05  # smallest activation; with noise three of its standard deviations more
PLAIN = {
    "batch_size": 1024, "warm_up": 0, "scale_activations": "none", "decoder_bias": "zero",
    "gradient_clip": None, "learning_rate": 3e-3,
}  # fmt: skip
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
STAGES = {"corpus", "capture", "mask", "train", "encode", "match", "tree"}


def grid(seeds: list[int]) -> pd.DataFrame:
    """Scores at every point of the grid: axis, value, noise, seed, type, true, found, right."""
    parts = []
    for axis, values in AXES.items():
        for value in values:
            for noise in NOISE:
                for seed in seeds:
                    world = {**OWN, axis: value}
                    scores = rules_alone(noise, seed, **world)
                    parts.append(scores.assign(axis=axis, value=value, noise=noise, seed=seed))
    return pd.concat(parts, ignore_index=True)


def rules_alone(
    noise: float, seed: int, child_ratio: float, child_magnitude: float, magnitude_noise: float
) -> pd.DataFrame:
    """Scores of the tree of two dictionaries in closed form."""
    from test_matching_tree import Matrix, Plain, side

    rng = np.random.default_rng([seed, 5])
    basis = np.linalg.qr(rng.standard_normal((DIM, DIM)))[0]
    codes, parent = _planted(rng, child_ratio, child_magnitude, magnitude_noise)
    directions = basis[: codes.shape[1]]
    x = codes @ directions + noise * rng.standard_normal((ROWS, DIM))
    pair = _narrow(codes, directions, parent), _wide(directions, parent, child_magnitude)
    sides = []
    for decoder, encoder in pair:
        before = x @ encoder.T
        floor = LEAST + 3 * noise * np.linalg.norm(encoder, axis=1)
        sides.append(side(decoder, np.where(before > floor, before, 0)))
    tokens = Matrix(x.astype(np.float32))
    pairs, features, summary = match(*sides, tokens, 0, MatchSettings(null_draws=9), Plain())
    step = Step(
        pairs,
        features.loc[features["side"] == "b", "delta_mse"].to_numpy(),
        summary["null_covariance"]["q999"],
        summary["stitching"]["threshold"],
    )
    levels = [Level(s.decoder, s.encoder, s.count, s.mean) for s in sides]
    settings = TreeSettings()
    edges = build(levels, [s.codes for s in sides], [step], settings, Plain())[1]
    truth = Matrix(csr_matrix(codes, dtype=np.float32))
    world = world_scores.World(truth, parent, directions.astype(np.float32))
    held = [world_scores.holds(s.codes, s.decoder, world, Plain.block_map) for s in sides]
    scores = world_scores.score(edges, held, world, settings.min_firings)[1]
    return scores.loc[scores["level"] == 1, ["type", "true", "found", "right"]]


def _planted(
    rng: np.random.Generator, ratio: float, magnitude: float, spread: float
) -> tuple[np.ndarray, np.ndarray]:
    """Magnitudes (ROWS, features) of parents, their children and others, and parents."""
    on = rng.random((ROWS, PARENTS)) < 0.15
    shares = np.cumsum(0.2 * ratio ** np.arange(CHILDREN))
    which = np.searchsorted(shares, rng.random((ROWS, PARENTS)), "right")
    children = on[:, :, None] & (which[:, :, None] == np.arange(CHILDREN))
    others = rng.random((ROWS, OTHERS)) < 0.05
    active = np.hstack([on, children.reshape(ROWS, -1), others]).astype(float)
    active[:, PARENTS : PARENTS * (1 + CHILDREN)] *= magnitude
    active *= np.maximum(0, 1 + spread * rng.standard_normal(active.shape))
    above = [-1] * PARENTS + [i for i in range(PARENTS) for _ in range(CHILDREN)] + [-1] * OTHERS
    return active, np.array(above)


def _narrow(
    codes: np.ndarray, directions: np.ndarray, parent: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Decoder and encoder rows of the dictionary without children: its parents are the leading
    directions of what is there while they are on.
    """
    rows = []
    for i in range(PARENTS):
        mine = [i, *np.flatnonzero(parent == i)]
        there = codes[codes[:, i] > 0][:, mine]
        top = np.abs(np.linalg.eigh(there.T @ there)[1][:, -1])
        rows.append(top @ directions[mine])
    made = np.vstack([rows, directions[-OTHERS:]])
    return made, made


def _wide(
    directions: np.ndarray, parent: np.ndarray, magnitude: float
) -> tuple[np.ndarray, np.ndarray]:
    """Decoder and encoder rows of the dictionary in which children have absorbed their parents."""
    decoder, encoder = directions.copy(), directions.copy()
    for child in np.flatnonzero(parent >= 0):
        decoder[child] = directions[parent[child]] + magnitude * directions[child]
        encoder[child] = directions[child] / magnitude
        encoder[parent[child]] -= directions[child] / magnitude
    return decoder, encoder


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
        args.store.mkdir(parents=True, exist_ok=True)
        grid(args.seeds).to_json(args.store / "grid.json", orient="records", indent=1)
    for name, config in chosen.items():
        began = time.process_time()
        scores = measure(config, args.store / name)
        scores.to_json(args.store / f"{name}.json", orient="records", indent=1)
        print(f"{name}: {time.process_time() - began:.0f} s of CPU time", flush=True)
    if "page" in args.parts:
        import edge_types_page

        edge_types_page.write(ROOT, args.store, list(WORLDS))


if __name__ == "__main__":
    main()

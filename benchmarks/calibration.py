"""Calibration of the census: false discoveries where there is nothing, power where there is.

    python benchmarks/calibration.py FOLDER [--runs 200] [--workers 2] [--activations PATH]

Every run is a world of its own seed, put through `geometry.census.survey` and the multiplicity of
the claims (`claims.multiplicity.selected_q`), as a sweep of one dictionary.

* `structureless`: dictionaries (and codes) in which nothing is arranged; whatever is claimed is
  false. The sources of clusters of a run are families of tests of their own; a one-sided binomial
  test asks whether families with a false claim are more than the level allows.
* `trained`: the same with SAEs trained here on activations of structureless worlds.
* `power`: shapes planted among random directions, over noise, size and tokens; a shape is found if
  a claimed cluster has its name and at least half of its members, and they half of it.

Results are kept in FOLDER/runs.jsonl, one line per run under the digest of the census's code, so a
stopped job goes on and a changed census starts anew. The tables of docs/calibration.md and its
pictures are written from it by `--write`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import scipy.sparse as sp

from interpsweep.blockmap import block_map
from interpsweep.claims.multiplicity import selected_q
from interpsweep.config.analysis import GeometrySettings
from interpsweep.context import Context
from interpsweep.geometry.census import survey
from interpsweep.worlds import shapes, structureless, surroundings

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "scripts"))
from code_lock import closure, digest_of  # noqa: E402

LATENTS, DIM, TOKENS = 64, 32, 3000
VALUES = 10  # of the concept whose values stand in the same surroundings
HALF = 8  # values of each half where they are nested
CENTRE = 1.5  # distance from the origin of shapes that only their directions gather
LEVEL, ALPHA = 0.05, 0.01  # nominal rate; level of the binomial test
ORDERED = ("line", "unresolved")  # names that are right, or say nothing, where there is an order


class World(NamedTuple):
    """What the census is given."""

    unit: np.ndarray
    codes: sp.csr_matrix | None = None
    context: np.ndarray | None = None
    ids: np.ndarray | None = None


class Held:
    """Codes in memory, read like those of the store."""

    def __init__(self, codes: sp.csr_matrix) -> None:
        self.codes = codes
        self.n_rows, self.d_sae = codes.shape
        self.rows = (0, self.n_rows)
        self.count = np.bincount(codes.indices[codes.data > 0], minlength=self.d_sae)
        self.peaks = codes.max(axis=0).toarray().ravel().astype(np.float64)

    def chunks(self) -> list[tuple[int, int]]:
        return [(0, self.n_rows)]

    def read(self, start: int, stop: int) -> sp.csr_matrix:
        return self.codes[start:stop]


# ---------------------------------------------------------------------------- worlds


def superposed(rng: np.random.Generator, decay: float) -> World:
    made = structureless.superposition(LATENTS, DIM, TOKENS, rng, decay=decay)
    return World(made.unit, made.codes, made.context, rng.integers(300, size=TOKENS))


def nested(points: np.ndarray, centre: float, rng: np.random.Generator) -> World:
    """Values in two halves, one of which is mostly followed by a marker of its own."""
    made = surroundings.concept(
        points, LATENTS // 2, DIM, 5 * TOKENS, rng, centre=centre, p=0.06, ends=2, own=0.7
    )
    return World(made.unit, made.codes, made.context, made.ids)


def structureless_world(kind: str, seed: int, activations: np.ndarray | None) -> World:
    rng = np.random.default_rng([sum(map(ord, kind)), seed])
    if kind == "isotropic":
        return World(structureless.isotropic(LATENTS, DIM, rng))
    if kind == "anisotropic":
        return World(structureless.anisotropic(LATENTS, DIM, rng))
    if kind == "phantom":
        return World(structureless.phantom(LATENTS, DIM, rng))
    if kind == "superposition":
        return superposed(rng, 0.0)
    if kind == "superposition, frequent and rare":
        return superposed(rng, 1.0)
    if kind == "values without an arrangement":
        points = structureless.isotropic(VALUES, VALUES, rng)
        made = surroundings.concept(points, LATENTS // 2, DIM, 5 * TOKENS, rng, centre=0.3)
        return World(made.unit, made.codes, made.context, made.ids)
    if kind == "nested values without an arrangement":
        return nested(structureless.isotropic(2 * HALF, 2 * HALF, rng), 0.3, rng)
    if kind == "shuffled activations":
        assert activations is not None
        chosen = activations[rng.choice(len(activations), 4 * LATENTS, replace=False)]
        return World(structureless.shuffled(chosen, LATENTS, rng))
    raise ValueError(kind)


KINDS = (
    *("isotropic", "anisotropic", "phantom", "superposition", "superposition, frequent and rare"),
    "values without an arrangement",
    "nested values without an arrangement",
    "shuffled activations",
)


def trained_world(kind: str, seed: int) -> World:
    """A TopK SAE trained on activations of a structureless world, and its codes."""
    import torch

    from interpsweep.config.saes import TrainSettings
    from interpsweep.saes.trainer import Side, Trainer

    rng = np.random.default_rng([77, sum(map(ord, kind)), seed])
    if kind == "trained on superposition":
        made = structureless.superposition(2 * DIM, DIM, 40_000, rng)
        x = made.codes @ made.unit + 0.05 * rng.standard_normal((40_000, DIM))
    else:
        spread = np.arange(1, DIM + 1) ** -0.5
        x = rng.standard_normal((40_000, DIM)) * spread
    x = torch.tensor(x / np.sqrt((x**2).sum(1).mean() / DIM), dtype=torch.float32)
    settings = TrainSettings(
        architecture="topk", d_sae=LATENTS, sparsity=4, seed=seed, batch_size=512, tokens=512_000
    )
    trainer = Trainer(settings, Side(1.0, x.mean(0), float(x.var(0).sum())))
    for step in range(settings.steps):
        rows = np.random.default_rng([seed, step]).integers(len(x), size=512)
        trainer.step(x[torch.from_numpy(rows)])
    p = trainer.sae.parameters
    held = x[:TOKENS]
    before = torch.relu((held - p["b_dec"]) @ p["encoder"].T + p["b_enc"])
    values, places = before.topk(4, dim=1)
    codes = torch.zeros_like(before).scatter(1, places, values).numpy()
    unit = p["decoder"].double().numpy()
    alive = (codes > 0).sum(0) >= 10
    return World(
        (unit / np.linalg.norm(unit, axis=1, keepdims=True))[alive],
        sp.csr_matrix(codes[:, alive]),
        np.arange(TOKENS) // 32,
        rng.integers(300, size=TOKENS),
    )


TRAINED = ("trained on superposition", "trained on Gaussian activations")


def arrangement(shape: str, size: int, rng: np.random.Generator) -> np.ndarray:
    if shape == "circle":
        return shapes.polygon(size)
    if shape == "line":
        return shapes.line(size)
    if shape == "tree":
        return shapes.tree([2, 2, size // 4], 0.7, rng)
    return shapes.simplex(size)


def planted_world(case: dict[str, Any], seed: int) -> tuple[World, np.ndarray]:
    """A shape among random directions, and which rows it has."""
    rng = np.random.default_rng([5, seed, case["size"], int(100 * case["noise"])])
    points = arrangement(case["shape"], case["size"], rng)
    if case["tokens"]:
        made = surroundings.concept(
            points, LATENTS // 2, DIM, case["tokens"], rng, noise=case["noise"], centre=0.3
        )
        return World(made.unit, made.codes, made.context, made.ids), made.group == 0
    made = shapes.plant(
        {case["shape"]: points}, LATENTS - len(points), DIM, rng, CENTRE, case["noise"]
    )
    return World(made.unit), made.group == 0


def cases() -> list[dict[str, Any]]:
    made = [
        {"shape": shape, "size": 12, "noise": noise, "tokens": 0}
        for shape in ("circle", "line", "tree")
        for noise in (0.1, 0.3, 0.5, 0.8)
    ]
    made += [{"shape": "circle", "size": s, "noise": 0.3, "tokens": 0} for s in (6, 8, 20)]
    made += [
        {"shape": "simplex", "size": 12, "noise": noise, "tokens": 4000}
        for noise in (0.1, 0.3, 0.5)
    ]
    made += [
        {"shape": "circle", "size": size, "noise": 0.3, "tokens": tokens}
        for size in (7, 12)
        for tokens in (2000, 4000, 8000, 16000)
    ]
    return made


# ---------------------------------------------------------------------------- one run


def census(world: World, seed: int) -> tuple[pd.DataFrame, list[Any]]:
    """Census of one world as a sweep of one dictionary, with q, and its groups."""
    settings = GeometrySettings(draws=99, seed=seed)
    codes = None if world.codes is None else Held(world.codes)
    unit = world.unit.astype(np.float32)
    found = survey(unit, settings, Context(), codes, world.context, world.ids)
    table = found.table.assign(sae="one", p=found.table["p_selected"])
    table["q"] = selected_q(table, ["source"], ["sae", "cluster"])
    return table, found.groups


def false_discoveries(world: World, seed: int, ordered: bool) -> dict[str, Any]:
    """Claims of a structureless world, and those that are false."""
    table, _ = census(world, seed)
    claimed = table[table["q"] <= LEVEL]
    names = claimed[claimed["test"] == claimed["best_model"]]["best_model"]
    found = claimed["source"].value_counts()
    wrong = claimed if not ordered else claimed[~claimed["best_model"].isin(ORDERED)]
    return {
        "clusters": int(table["cluster"].nunique()),
        "tests": int(table["p"].notna().sum()),
        "claims": len(claimed),
        "false": len(wrong),
        "families": int(table["source"].nunique()),  # q is controlled in each source by itself
        "false_families": int(wrong["source"].nunique()),
        "false_shares": float((wrong["source"].value_counts() / found).sum()),
        "names": sorted(names),
        "least_p": float(table["p"].min()),
        "below": float((table["p"] <= LEVEL).sum() / max(1, table["p"].notna().sum())),
    }


def detection(case: dict[str, Any], seed: int) -> dict[str, Any]:
    """Whether a planted shape is found: gathered in a cluster, claimed, and named."""
    world, mine = planted_world(case, seed)
    table, groups = census(world, seed)
    alike = [_overlap(set(group.members), set(np.flatnonzero(mine))) for group in groups]
    gathered = [number for number, share in enumerate(alike) if share >= 0.5]
    of = table[table["cluster"].isin(gathered) & (table["q"] <= LEVEL)]
    return {
        "gathered": bool(gathered),
        "claimed": bool((of["test"] == case["shape"]).any()),
        "named": bool(((of["test"] == case["shape"]) & (of["best_model"] == case["shape"])).any()),
    }


def _overlap(members: set, mine: set) -> float:
    return len(members & mine) / max(len(members | mine), 1)


def one(job: dict[str, Any], activations: np.ndarray | None) -> dict[str, Any]:
    """The line of one run."""
    began = time.process_time()
    if job["part"] == "structureless":
        world = structureless_world(job["kind"], job["seed"], activations)
        made = false_discoveries(world, job["seed"], job["kind"] == "phantom")
    elif job["part"] == "trained":
        made = false_discoveries(trained_world(job["kind"], job["seed"]), job["seed"], False)
    else:
        made = detection(job["case"], job["seed"])
    return {**job, **made, "cpu_seconds": round(time.process_time() - began, 2)}


# ---------------------------------------------------------------------------- the job


def jobs(parts: list[str], runs: int, trained: int, power: int, real: bool) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    for seed in range(max(runs, trained, power)):  # round by round, so that a part run is balanced
        if "structureless" in parts and seed < runs:
            kinds = [k for k in KINDS if real or k != "shuffled activations"]
            made += [{"part": "structureless", "kind": k, "seed": seed} for k in kinds]
        if "trained" in parts and seed < trained:
            made += [{"part": "trained", "kind": k, "seed": seed} for k in TRAINED]
        if "power" in parts and seed < power:
            made += [{"part": "power", "case": case, "seed": seed} for case in cases()]
    return made


def code_digest() -> str:
    """Identity of the code that a run goes through: the census proper, and its multiplicity."""
    modules = closure("interpsweep.geometry.census") | closure("interpsweep.claims.multiplicity")
    return digest_of(modules)


def load(folder: Path) -> list[dict[str, Any]]:
    """Runs made with the present code."""
    file, code = folder / "runs.jsonl", code_digest()
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    return [row for row in map(json.loads, lines) if row["code"] == code]


def _key(row: dict[str, Any]) -> str:
    return json.dumps({k: row[k] for k in ("part", "kind", "case", "seed") if k in row})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--trained", type=int, default=20)
    parser.add_argument("--power", type=int, default=20)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--parts", default="structureless,trained,power")
    parser.add_argument("--activations", type=Path, help="an item of activations in a store")
    parser.add_argument("--write", action="store_true", help="write docs/calibration.md")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    real = None
    if args.activations:
        from interpsweep.activations.artifact import Activations

        source = Activations.open(args.activations)
        real = source.read(0, min(20_000, source.shape[0])).astype(np.float64)
    done = {_key(row) for row in load(args.folder)}
    wanted = jobs(args.parts.split(","), args.runs, args.trained, args.power, real is not None)
    left = [job for job in wanted if _key(job) not in done]
    code = code_digest()
    with (args.folder / "runs.jsonl").open("a", encoding="utf-8") as file:
        work = partial(one, activations=real)
        engine = "processes" if args.workers > 1 else "serial"
        for n, row in enumerate(block_map(work, left, engine=engine, workers=args.workers)):
            file.write(json.dumps({**row, "code": code}) + "\n")
            file.flush()
            if n % 25 == 0:
                print(f"{n + 1} of {len(left)} runs", file=sys.stderr, flush=True)
    if args.write:
        import calibration_page

        calibration_page.write(ROOT / "docs", load(args.folder), LEVEL, ALPHA)


if __name__ == "__main__":
    main()

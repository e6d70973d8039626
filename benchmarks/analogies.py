"""Calibration of the relations between labelled concepts: size without structure, and power.

    python benchmarks/analogies.py [--runs 400] [--draws 199]

Prints, for every world and size of family, the share of runs in which each p of
`geometry.analogies.measure` is at most .05: points as they are, and whitened as the stage
`concepts` does it, with 100 more values that have nothing to do with the relation.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np

from interpsweep.geometry import analogies, relations

DIM, OTHERS, LEVEL = 64, 100, 0.05
SIZES = ((6, 3), (12, 1), (12, 3))  # parents, children of each
TESTS = ("parallel", "siblings", "gain", "orthogonality")
Array = np.ndarray


def random(w: Array, e: Array, parent: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Nothing but random points."""
    return w, e


def anisotropic(w: Array, e: Array, parent: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Random points of falling spectrum, far from the origin."""
    spread = 3 / np.arange(1, DIM + 1)
    centre = rng.standard_normal(DIM)
    return centre + w * spread, centre + e * spread


def near(w: Array, e: Array, parent: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Children near their parents, in no common direction; the parents' points are noisy."""
    return w + 0.3 * rng.standard_normal(w.shape), w[parent] + 0.5 * e


def near_anisotropic(
    w: Array, e: Array, parent: Array, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Children near their parents, mostly on either side along a few directions."""
    return w, w[parent] + e * 3 / np.arange(1, DIM + 1)


def offset(w: Array, e: Array, parent: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """All children in one direction from all parents; who is whose child is arbitrary."""
    return w, e + 3 * rng.standard_normal(DIM)


def siblings(w: Array, e: Array, parent: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """The same with siblings near each other."""
    away = 2 * rng.standard_normal(DIM) + rng.standard_normal(w.shape)
    return w, away[parent] + 0.3 * e


def weak(w: Array, e: Array, parent: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Parallelograms: one offset from every parent, half as long as the noise."""
    return w, w[parent] + 0.5 * rng.standard_normal(DIM) + e


def clear(w: Array, e: Array, parent: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Parallelograms: one offset from every parent, twice as long as the noise."""
    return w, w[parent] + rng.standard_normal(DIM) + 0.5 * e


Maker = Callable[[Array, Array, Array, np.random.Generator], tuple[Array, Array]]
NOTHING: tuple[Maker, ...] = (random, anisotropic, near, near_anisotropic, offset, siblings)
PLANTED: tuple[Maker, ...] = (weak, clear)


def family(make: Maker, many: int, each: int, rng: np.random.Generator) -> analogies.Family:
    """`many` parents with `each` children in a world."""
    parent = np.repeat(np.arange(many), each)
    w, e = rng.standard_normal((many, DIM)), rng.standard_normal((many * each, DIM))
    return analogies.Family(*make(w, e, parent, rng), parent)


def whitened(made: analogies.Family, rng: np.random.Generator) -> analogies.Family:
    """The family in the coordinates of the stage, among other values."""
    points = {
        name: relations.Points(np.arange(len(means)), means)
        for name, means in (
            ("parents", made.parents),
            ("children", made.children),
            ("others", rng.standard_normal((OTHERS, DIM))),
        )
    }
    found = relations.whitened(points)
    return made._replace(parents=found["parents"].means, children=found["children"].means)


def shares(
    make: Maker, many: int, each: int, white: bool, runs: int, draws: int
) -> dict[str, float]:
    """Share of runs with a p of at most `LEVEL`, by test."""
    rng = np.random.default_rng([many, each, white, draws])
    found = []
    for _ in range(runs):
        made = family(make, many, each, rng)
        made = whitened(made, rng) if white else made
        facts = analogies.measure(made, draws, rng)
        found.append([facts[f"{test}_p"] <= LEVEL for test in TESTS])
    return dict(zip(TESTS, np.mean(found, axis=0).tolist(), strict=True))


def main() -> None:
    """Print the table of all worlds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=400)
    parser.add_argument("--draws", type=int, default=199)
    asked = parser.parse_args()
    print("| world | parents, children | space |", " | ".join(TESTS), "|")
    for many, each in SIZES:
        for make in (*NOTHING, *PLANTED):
            for white in (False, True):
                found = shares(make, many, each, white, asked.runs, asked.draws)
                space = "whitened" if white else "raw"
                cells = " | ".join(f"{found[test]:.3f}" for test in TESTS)
                name = make.__name__.replace("_", " ")
                print(f"| {name} | {many}, {many * each} | {space} | {cells} |", flush=True)


if __name__ == "__main__":
    main()

"""Tables of a made-up census: concepts, panels, loops, spectra, measures."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from synthetic_saes import DAYS


def concept_table() -> pd.DataFrame:
    """Three concepts: a circle, a line, a control."""
    rows = [
        ("weekday", "circle", "circle", 0.93, 0.31, 0.003),
        ("number", "line", "line", 0.88, 0.35, 0.001),
        ("colour", "categories", "order", 0.22, 0.2, 0.41),
    ]
    names = ["concept", "shape", "test", "statistic", "null_mean", "p"]
    frame = pd.DataFrame(rows, columns=names)
    return frame.assign(values=7, tokens=4000, closure=1.1, held_out_r2=0.82, null_sd=0.1, z=5.0)


def mean_table() -> pd.DataFrame:
    """Class means of the three concepts."""
    rng = np.random.default_rng(5)
    rows = []
    for concept, shape, labels in (
        ("weekday", "circle", DAYS),
        ("number", "line", [str(n) for n in range(12)]),
        ("colour", "categories", ["red", "blue", "a$b$c", "<script>", "green\n"]),
    ):
        for value, label in enumerate(labels):
            angle = 2 * np.pi * value / len(labels)
            x, y = {
                "circle": (np.cos(angle), np.sin(angle)),
                "line": (value / 4, 0.15 * np.sin(value)),
                "categories": tuple(rng.normal(size=2)),
            }[shape]
            noise = rng.normal(size=2) * 0.06
            rows.append((concept, shape, value, label, -1, "", 300, x + noise[0], y + noise[1]))
    names = ["concept", "shape", "value", "label", "parent", "parent_label", "count", "x", "y"]
    return pd.DataFrame(rows, columns=names)


def complex_row(at: dict[str, Any]) -> dict[str, Any]:
    """A complex with fewer loops than its null; all parts of the null are one, as here."""
    facts = {"b_site": "next", "b_layer": 1, "lower": 99, "upper": 80, "simplices": 80}
    facts |= {"distinct": 70, "vertices": 90, "b0": 1, "b0_null": 1, "b0_p": 1}
    return {**at, **facts, "b1": 31, "b1_null": 70.5, "b1_p": 0.002}


def concept_relations(sites: tuple[str, ...]) -> list[dict[str, Any]]:
    """One relation at every site; what is left out was not tested."""
    words = {"child": "species", "parent": "class", "kind": "tree", "space": "raw", "model": "m"}
    counts = {"children": 36, "parents": 12, "questions": 1188, "shuffles": 99, "reflections": 99}
    tests = {"parallel": 0.38, "parallel_p": 0.01, "add": 0.88, "nearest": 0.14, "gain_p": 0.02}
    return [{**words, **counts, **tests, "site": site, "layer": -1} for site in sites]


def norms() -> pd.DataFrame:
    """Norms of a model with one massive row in ten thousand, which is left out."""
    norm = 2.0 ** (np.arange(-8, 60) / 8)
    rows = np.where(norm < 3, (1e4 * np.exp(-((np.log2(norm) / 0.4) ** 2))).astype(int), 0)
    rows[-1] = 8
    moment = rows * norm**2
    return pd.DataFrame(
        {
            "norm": norm,
            "rows": rows,
            "second_moment": moment / moment.sum(),
            "left_out": np.where(norm > 10, rows, 0),
        }
    )


def mask_row(at: dict[str, Any]) -> dict[str, Any]:
    """A site where one row in ten thousand carries most of the second moment, and is left out."""
    return {
        **at, "positions": 1, "norm": 10.0, "median_norm": 3.0, "rows": 100_000, "left_out": 1500,
        "left_out_train": 1200, "left_out_analysis": 200, "left_out_eval": 100,
        "left_out_by_position": 1490, "left_out_by_token": 0, "left_out_by_norm": 30,
        "massive_share": 0.0004, "massive_second_moment": 0.59, "left_out_second_moment": 0.6,
        "largest_dimension": 138, "largest_dimension_variance": 0.76,
    }  # fmt: skip


def landscape(rng: np.random.Generator) -> pd.DataFrame:
    """Some measures of a whole dictionary beside their nulls."""
    names = ["spectrum_slope", "gram_explained", "hubness", "isotropy"]
    value = rng.uniform(0, 1, len(names))
    return pd.DataFrame(
        {
            "measure": names,
            "value": value,
            "null": "permuted latents",
            "null_mean": value / 2,
            "null_sd": 0.1,
            "low": value - 0.1,
            "high": value + 0.1,
            "p": rng.uniform(0, 0.1, len(names)),
        }
    )


def embedding(width: int, rng: np.random.Generator) -> pd.DataFrame:
    """A blob with a few clusters."""
    n = width - width // 10
    cluster = np.where(np.arange(n) < n // 4, np.arange(n) % 9, -1)
    centre = rng.normal(size=(9, 2)) * 4
    xy = rng.normal(size=(n, 2)) * np.where(cluster < 0, 3.0, 0.25)[:, None]
    xy += np.where(cluster[:, None] < 0, 0, centre[cluster])
    shapes = np.array(["circle", "line", "tree", "simplex", "unresolved"])
    return pd.DataFrame(
        {
            "feature": np.arange(n, dtype="int32"),
            "x": xy[:, 0],
            "y": xy[:, 1],
            "cluster": cluster.astype("int32"),
            "density": 0.01,
            "dimensionality": np.clip(rng.beta(6, 14, size=n), 0, 1),
            "shape": np.where(cluster < 0, "", shapes[cluster % 5]),
        }
    )


def spectrum(width: int, d: int = 64) -> pd.DataFrame:
    """A power law beside a flat null."""
    rank = np.arange(1, d + 1)
    eigenvalue = rank**-0.8
    null = (1 + np.sqrt(d / width) * np.linspace(1, -1, d)) / d
    made = {"rank": rank, "eigenvalue": eigenvalue / eigenvalue.sum(), "null_eigenvalue": null}
    return pd.DataFrame({**made, "activation_eigenvalue": rank**-1.2})


def bars(rng: np.random.Generator) -> pd.DataFrame:
    """Loops of three clouds, one of them long in the first."""
    birth = rng.uniform(0.1, 1.0, (3, 20))
    death = birth * (1 + rng.exponential(0.1, birth.shape))
    death[0, 0] = 4 * birth[0, 0]
    cluster = np.repeat(np.arange(3, dtype="int32"), 20)
    return pd.DataFrame({"cluster": cluster, "birth": birth.ravel(), "death": death.ravel()})


def panel_points(rng: np.random.Generator) -> pd.DataFrame:
    """Two clusters: weekdays on a circle with labels, and a line without."""
    rows = []
    for panel, (test, labels) in enumerate((("circle", DAYS), ("line", [""] * 7))):
        for i, label in enumerate(labels):
            angle = 2 * np.pi * i / 7
            x, y = (
                (np.cos(angle), np.sin(angle)) if test == "circle" else (i / 3 - 1, 0.1 * (i % 2))
            )
            about = {"cluster": panel, "panel": panel, "test": test, "feature": 100 + i}
            concept = "weekday" if label else ""
            about |= {
                "concept": concept,
                "value": i if label else -1,
                "label": label,
                "text": "...",
            }
            rows.append(
                {
                    **about,
                    "kind": "direction",
                    "x": x,
                    "y": y,
                    "order": i,
                    "activation": 0.0,
                    "row": -1,
                    "token": "",
                }
            )
            for j in range(40):
                scale = rng.uniform(0.4, 2)
                dx, dy = rng.normal(size=2) * 0.12
                token = label or f" n{i}{j % 3}"
                rows.append(
                    {
                        **about,
                        "kind": "cloud",
                        "x": scale * x + dx,
                        "y": scale * y + dy,
                        "order": -1,
                        "activation": scale,
                        "row": j,
                        "token": token,
                    }
                )
    return pd.DataFrame(rows)

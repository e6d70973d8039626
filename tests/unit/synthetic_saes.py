"""Tables of made-up SAEs: training, evaluation, latents, contexts, probed values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]


def training_log(at: dict[str, Any], rng: np.random.Generator) -> pd.DataFrame:
    """A falling curve."""
    step = np.arange(0, 3000, 10)
    floor = 0.3 - 0.02 * np.log2(at["d_sae"])
    fvu = floor + 0.7 * np.exp(-step / 300) + rng.normal(size=len(step)) * 0.004
    return pd.DataFrame({"step": step, "tokens": step * 2048, "loss": fvu * 40, "fvu": fvu})


def latents(width: int, rng: np.random.Generator) -> pd.DataFrame:
    """A tenth dead; log-normal densities; a few duplicates."""
    density = np.minimum(10 ** rng.normal(-2.5, 0.6, width), 1.0)
    density[: width // 10] = 0
    cosine = np.where(density > 0, rng.beta(8, 8, width), np.nan)
    cosine[-width // 20 :] = 0.97
    return pd.DataFrame(
        {
            "feature": np.arange(width, dtype="int32"),
            "density": density,
            "n_fired": np.round(density * 1e6).astype("int64"),
            "nearest_cosine": cosine,
        }
    )


def error_groups(at: dict[str, Any], rng: np.random.Generator) -> dict[str, pd.DataFrame]:
    """Errors that fall with position, width and norm, in contexts of 128 tokens."""
    first = np.r_[1:64, 64:128:8]
    end = np.r_[first[1:], 128]
    error = 0.3 - 0.02 * np.log2(at["d_sae"])
    numbers = {"tokens": 100, "l0": 30 + rng.normal(size=len(first))}
    positions = pd.DataFrame({"position_first": first, "position_end": end, **numbers})
    low = np.r_[0, np.linspace(5, 13, 9)]
    norms = pd.DataFrame({"norm_low": low, "norm_high": [*low[1:], np.inf], "tokens": 50})
    return {
        "positions": positions.assign(fvu=error * (1 + 2 / first)),
        "norms": norms.assign(fvu=error * 6 / (1 + low), l0=30.0),
    }


def probed(rng: np.random.Generator) -> pd.DataFrame:
    """Values of two concepts, one of which is absorbed here and there."""
    names = [("weekday", day) for day in ("Monday", "Tuesday", "Sunday")]
    names += [("first letter", letter) for letter in "abcdefgh"]
    full = np.where([c == "weekday" for c, _ in names], 0.0, rng.beta(2, 6, len(names)))
    return pd.DataFrame(
        {
            "concept": [concept for concept, _ in names],
            "value": [*range(3), *range(8)],
            "label": [label for _, label in names],
            "counts": [label != "h" for _, label in names],
            "main": rng.integers(1, 4, len(names)),
            "f1_first": 0.95 - full,
            "full": full,
            "full_null": 0.03,
            "fraction": full * 1.5,
            "fraction_null": 0.2,
            "ablated": full * 0.6,
            "ablated_null": 0.004,
        }
    )


def sparsely(at: dict[str, Any], widths: tuple[int, ...]) -> pd.DataFrame:
    """Sparse probes that gain with latents and width."""
    step = np.log2(at["d_sae"] / widths[0])
    rows = []
    for value, label in enumerate(DAYS):
        for k in (1, 2, 5):
            f1 = 0.95 - 0.3 / (k + step) - 0.01 * at["seed"]
            row = {"concept": "weekday", "value": value, "label": label, "tokens": 90, "k": k}
            for name, score in (("f1", f1), ("accuracy", 0.9 + f1 / 20), ("auc", (1 + f1) / 2)):
                row |= {name: score, f"{name}_neurons": score - 0.2, f"{name}_dense": 0.98}
                row[f"{name}_shuffled"] = 0.1 if name == "f1" else 0.5
            rows.append(row)
    return pd.DataFrame(rows)


def effects(source: str, seed: int) -> pd.DataFrame:
    """Weekdays that a plane moves half-way and all directions wholly; months that nothing moves."""
    rows = []
    for concept, most in (("weekday", 0.9), ("month", 0.06)):
        for space, share in (("plane", 0.5), ("span", 0.95)):
            for action, steps in (("rotate", 1), ("rotate", 2), ("ablate", 0)):
                effect = most * share * (0.8 if source == "latents" else 1.0)
                rows.append(
                    {
                        **{"concept": concept, "shape": "circle", "source": source},
                        **{"space": space, "action": action, "steps": steps},
                        **{"accuracy": 0.9, "effect": effect - 0.03 * seed - 0.05 * (steps == 2)},
                        **{"null_mean": 0.04, "null_high": 0.08 + 0.01 * steps},
                    }
                )
    return pd.DataFrame(rows)


def contexts(width: int) -> pd.DataFrame:
    """Top contexts: features fire for days, months and such."""
    names = [*DAYS, " the", "$5", "New", " York", "été"]
    rows = [
        (f, r, r, 9.0 - r, names[(f + r // 6) % len(names)], "a context")
        for f in range(min(width, 64))
        for r in range(10)
    ]
    return pd.DataFrame(rows, columns=["feature", "rank", "row", "activation", "token", "text"])


def sae_row(at: dict[str, Any], widths: tuple[int, ...]) -> dict[str, Any]:
    """Evaluation metrics that improve with width."""
    step = np.log2(at["d_sae"] / widths[0])
    shift = 0.002 * at["seed"] + 0.004 * at["layer"]
    return {
        **at,
        "l0": 32.0 - step + at["seed"] * 0.3,
        "explained_variance": 0.7 + 0.04 * step - shift,
        "ce_recovered": 0.9 + 0.02 * step - shift,
        "dead_fraction": 0.01 + 0.03 * step + shift,
        "nearest_cosine_q50.v2": 0.5 + 0.03 * step + shift,
        "nearest_cosine_random.v2": 0.3 + 0.02 * step,
        "duplicate_fraction.v2": 0.02 * step,
        "clusters": 30,
        "clustered_share": 0.2,
        "mean_dimensionality": 0.3,
    }

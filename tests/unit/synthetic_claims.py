"""Trees over widths and the claims of a made-up sweep."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from interpsweep.claims.relations import RELATION_COLUMNS
from interpsweep.tables import typed


def tree_tables(
    widths: tuple[int, ...], rng: np.random.Generator
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Twelve roots, of which some split at every step; edges with plausible numbers."""
    rows, edges, front = [], [], []
    for latent in range(12):
        front.append(f"0:{latent}")
        rows.append(
            [f"0:{latent}", 0, widths[0], latent, 900 - 20 * latent, "root", "", f"0:{latent}"]
        )
    for level in range(1, len(widths)):
        fresh, latent = [], 0
        for i, parent in enumerate(front):
            kinds = [
                ["identity"],
                ["split"] * 3,
                ["identity_with_holes", "absorption"],
                ["identity", "composition"],
            ]
            for kind in kinds[(i + level) % 4]:
                node = f"{level}:{latent}"
                root = next(r[7] for r in rows if r[0] == parent)
                rows.append([node, level, widths[level], latent, 400 - latent, kind, parent, root])
                edges.append(
                    edge(level, widths, int(parent.split(":")[1]), latent, kind, parent, rng)
                )
                fresh.append(node)
                latent += 1
        for _ in range(60):
            kind = "novel" if latent % 2 else "other"
            rows.append(
                [
                    f"{level}:{latent}",
                    level,
                    widths[level],
                    latent,
                    50,
                    kind,
                    "",
                    f"{level}:{latent}",
                ]
            )
            edges.append(edge(level, widths, -1 if latent % 3 else 4, latent, kind, "", rng))
            latent += 1
        front = fresh
    names = ["node", "level", "d_sae", "latent", "count", "type", "parent", "root"]
    nodes = pd.DataFrame(rows, columns=names)
    nodes["n_children"] = (
        nodes["node"].map(nodes["parent"].value_counts()).fillna(0).astype("int32")
    )
    nodes = nodes.assign(absorption_rate=0.1, hedging=0.2, hedging_null=0.05)
    return nodes, pd.DataFrame(edges)


def edge(
    level: int,
    widths: tuple[int, ...],
    n: int,
    w: int,
    kind: str,
    source: str,
    rng: np.random.Generator,
) -> dict:
    """One row of a tree's edges."""
    typical = {
        "identity": (0.95, 0.97),
        "identity_with_holes": (0.9, 0.95),
        "absorption": (0.7, 0.97),
        "split": (0.8, 0.96),
        "composition": (0.6, 0.93),
        "novel": (0.3, 0.3),
        "other": (0.4, 0.5),
    }
    cosine, conditional = typical[kind]
    return {
        "source": source,
        "target": f"{level}:{w}",
        "level": level,
        "step": 1,
        "d_narrow": widths[level - 1],
        "d_wide": widths[level],
        "n": n,
        "w": w,
        "type": kind,
        "subtype": "",
        "primary": bool(source),
        "match": n,
        "match_cosine": 0.93,
        "conservation": 1 + rng.normal() * 0.05,
        "cosine": min(1.0, cosine + rng.normal() * 0.03),
        "p_n_given_w": float(np.clip(conditional + rng.normal() * 0.04, 0, 1)),
        "lb_n_given_w": conditional - 0.05,
        "p_w_given_n": 0.4,
        "p_n_given_w_null": 0.03,
        "cosine_null": 0.42,
    }


def controls(families: pd.DataFrame) -> pd.DataFrame:
    """Shares of every relation between seeds, for the steps of `families`."""
    step = ["model", "site", "layer", "architecture", "sparsity", "level", "d_narrow", "d_wide"]
    if families.empty:
        return typed([], RELATION_COLUMNS)
    found = families.drop_duplicates([*step, "type"])
    half = found["fraction_mean"] / 2
    return typed(
        found.assign(
            statistic="share_" + found["type"], vertical=found["fraction_mean"], horizontal=half,
            horizontal_low=half - 0.02, horizontal_high=half + 0.02, difference=half,
            controls=found["seeds"] - 1,
        ),
        RELATION_COLUMNS,
    )  # fmt: skip


def levels_row(at: dict[str, Any], widths: tuple[int, ...]) -> dict[str, Any] | None:
    """Nested levels that agree with a tree over widths, less on deeper layers; None if narrowest.

    On the deepest layers they agree by chance only.
    """
    place = widths.index(at["d_sae"])
    if place == 0:
        return None
    rng = np.random.default_rng([at["layer"], at["d_sae"], at["seed"]])
    latents = at["d_sae"]
    over, among = int(0.3 * latents), int(0.45 * latents)
    both = int(rng.uniform(0.15, 0.25) * latents)
    agreement = max(0.04, rng.uniform(0.5, 0.6) - 0.06 * at["layer"])
    return {
        **at,
        "d_narrow": widths[place - 1],
        "latents": latents,
        "over_widths": over,
        "among_levels": among,
        "both": both,
        "agreeing": int(agreement * both),
        "agreement": int(agreement * both) / both,
        "null_agreement": 0.03,
        "p": 0.001 if agreement > 0.04 else 0.4,
    }


def families_row(at: dict[str, Any], widths: tuple[int, ...]) -> dict[str, Any] | None:
    """Siblings that are joined first beyond the null on the first layers; None if narrowest."""
    place = widths.index(at["d_sae"])
    if place == 0:
        return None
    rng = np.random.default_rng([at["layer"], at["d_sae"], at["seed"], 1])
    beyond = max(0.0, 0.15 - 0.02 * at["layer"]) + 0.02 * rng.normal()
    p = 0.02 if beyond > 0.05 else 0.5
    row = {**at, "level": place, "d_narrow": widths[place - 1], "d_wide": at["d_sae"]}
    row |= {"children": 60, "families": 14, "largest": 12, "pairs": 20}
    row |= {"triplets": 0.6 + beyond, "triplets_beside": 0.6, "triplets_beside_p": p}
    row |= {"cophenetic": 0.1 + beyond, "cophenetic_beside": 0.1, "cophenetic_beside_p": p}
    return row | {"score": 0.37 + 0.01 * rng.normal(), "score_null": 0.37, "score_p": 0.4}


def claim_rows(at: dict[str, Any]) -> list[dict[str, Any]]:
    """A clear circle, a weak line, a concept and a match."""
    rows = [
        ("cluster", "0", "circle", 0.91, 0.4, 0.001, 0.012, "claimed", 2),
        ("cluster", "1", "line", 0.6, 0.5, 0.2, 0.4, "not claimed", 1),
        ("concept", "weekday", "circle", 0.93, 0.31, 0.003, 0.009, "claimed", 2),
        ("match", "<b>512->2048</b>", "mmcs", 0.8, 0.34, 0.01, 0.02, "claimed", 2),
    ]
    names = [
        "kind",
        "subject",
        "test",
        "effect",
        "null_effect",
        "p",
        "q",
        "verdict",
        "replicated_seeds",
    ]
    return [
        {
            **at,
            **dict(zip(names, row, strict=True)),
            "z": 4.0,
            "null": "same mean and covariance",
            "members": 7,
            "seeds": 2,
        }
        for row in rows
    ]


def recovery_rows(at: dict[str, Any]) -> list[dict[str, Any]]:
    """One recovered, one partly, one missed, one control."""
    wide = at["d_sae"] > 512
    rows = [
        ("weekday", "circle", 7, 7, "recovered"),
        ("number", "line", 12, 9 if wide else 4, "partly" if wide else "not recovered"),
        ("country", "tree", 9, 8, "recovered" if wide or at["seed"] else "partly"),
        ("colour", "categories", 5, 5, "nothing claimed" if wide else "false claim"),
    ]
    return [
        {
            **at,
            "concept": c,
            "shape": shape,
            "parent": "",
            "values": n,
            "values_held": held,
            "held_share": held / n,
            "mean_f1": 0.9,
            "supervised_statistic": 0.9,
            "supervised_p": 0.002,
            "supervised_q": 0.01,
            "held_out_r2": 0.8,
            "latents": held,
            "shape_statistic": 0.85,
            "shape_p": 0.01,
            "shape_q": 0.01,
            "shape_exact": True,
            "tree_f1": 0.9 if shape == "tree" else np.nan,
            **dict.fromkeys(("edge_precision", "edge_recall", "edge_f1"), np.nan),
            "verdict": verdict,
        }
        for c, shape, n, held, verdict in rows
    ]

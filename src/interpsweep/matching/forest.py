"""The forest view of a family's typed edges: one parent per latent, and what follows from it."""

from __future__ import annotations

from typing import Any

import networkx as nx
import numpy as np
import pandas as pd

from interpsweep.matching.edges import TYPES

SURVIVAL = ("identity", "identity_with_holes")


def node_name(level: Any, latent: Any) -> str:
    """Name of a node: "level:latent"."""
    return f"{int(level)}:{int(latent)}"


def grow(nodes: pd.DataFrame, edges: pd.DataFrame) -> pd.DataFrame:
    """Add parent, step, root, depth, n_parents, n_children, survives and size to the node table.

    `nodes` has node, level, latent, type; `edges` source, target, step, type, primary, related.
    Rows are in order of level, so a parent is always placed before its children.
    """
    kept = edges[edges["primary"] & edges["related"]]
    parent = dict(zip(kept["target"], kept["source"], strict=True))
    step = dict(zip(kept["target"], kept["step"], strict=True))
    n_parents = edges[edges["related"]].groupby("target").size()
    root: dict[str, str] = {}
    depth: dict[str, int] = {}
    for name in nodes["node"]:
        above = parent.get(name)
        root[name] = name if above is None else root[above]
        depth[name] = 0 if above is None else depth[above] + 1
    size = dict.fromkeys(nodes["node"], 1)
    for name in reversed(nodes["node"].tolist()):
        if name in parent:
            size[parent[name]] += size[name]
    survivors = set(kept.loc[kept["type"].isin(SURVIVAL) & (kept["step"] == 1), "source"])
    children = kept.groupby("source").size()
    return nodes.assign(
        parent=[parent.get(name, "") for name in nodes["node"]],
        step=np.array([step.get(name, 0) for name in nodes["node"]], np.int32),
        root=[root[name] for name in nodes["node"]],
        depth=np.array([depth[name] for name in nodes["node"]], np.int32),
        n_parents=nodes["node"].map(n_parents).fillna(0).astype(np.int32),
        n_children=nodes["node"].map(children).fillna(0).astype(np.int32),
        survives=nodes["node"].isin(survivors),
        size=np.array([size[name] for name in nodes["node"]], np.int32),
    )


def nested(nodes: pd.DataFrame) -> dict[str, Any]:
    """The forest as nested dictionaries: trees of at least two nodes, largest first."""
    made: dict[str, dict[str, Any]] = {}
    for row in nodes.itertuples(index=False):
        made[row.node] = {
            "node": row.node,
            "level": int(row.level),
            "latent": int(row.latent),
            "type": row.type,
            "density": round(float(row.density), 8),
            "children": [],
        }
        if row.parent:
            made[row.parent]["children"].append(made[row.node])
    tops = nodes[(nodes["parent"] == "") & (nodes["size"] > 1)]
    tops = tops.sort_values(["size", "level", "latent"], ascending=[False, True, True])
    return {"roots": [made[name] for name in tops["node"]]}


def graph(nodes: pd.DataFrame, edges: pd.DataFrame) -> nx.DiGraph:
    """All typed edges between existing parents and children, for GraphML."""
    made = nx.DiGraph()
    for row in nodes.itertuples(index=False):
        made.add_node(
            row.node, level=int(row.level), latent=int(row.latent), type=row.type,
            density=float(row.density),
        )  # fmt: skip
    for row in edges[edges["related"]].itertuples(index=False):
        made.add_edge(
            row.source, row.target, type=row.type, step=int(row.step), primary=bool(row.primary),
            score=float(row.score), cosine=float(row.cosine),
        )  # fmt: skip
    return made


def step_summary(
    nodes: pd.DataFrame, edges: pd.DataFrame, level: int, threshold: float | None
) -> dict[str, Any]:
    """What becomes of the latents of level - 1 on `level`: counts by type, births, survival.

    Types are those of the relation to level - 1, also of latents whose parent is further below.
    """
    mine = edges[(edges["level"] == level) & (edges["step"] == 1) & edges["primary"]]
    wide, narrow = nodes[nodes["level"] == level], nodes[nodes["level"] == level - 1]
    alive, alive_narrow = wide[wide["type"] != "rare"], narrow[~narrow["rare"]]
    counts = mine["type"].value_counts().reindex(TYPES, fill_value=0)
    branches = mine.loc[mine["related"], "source"].value_counts()
    placed = alive[alive["n_parents"] > 0]
    return {
        "level": level,
        "d_narrow": int(narrow["d_sae"].iloc[0]),
        "d_wide": int(wide["d_sae"].iloc[0]),
        "n_wide": len(wide),
        "alive": len(alive),
        "counts": {name: int(n) for name, n in counts.items()},
        "fractions": {
            name: float(n / max(len(alive), 1)) for name, n in counts.items() if name != "rare"
        },
        "births": int((alive["n_parents"] == 0).sum()),
        "identity_survival": _mean(alive_narrow["survives"]),
        "skipped": int((alive["step"] > 1).sum()),
        "branching_mean": _mean(branches),
        "branching_max": int(branches.max()) if len(branches) else 0,
        "branching": {str(k): int(n) for k, n in branches.value_counts().sort_index().items()},
        "single_parent_share": _mean(placed["n_parents"] == 1),
        "mean_hole_rate": _mean(alive_narrow["hole_rate"].dropna()),
        "mean_absorption_rate": _mean(alive_narrow["absorption_rate"].dropna()),
        "mean_hedging": _mean(alive_narrow["hedging"].dropna()),
        "mean_hedging_null": _mean(alive_narrow["hedging_null"].dropna()),
        "novel_threshold": threshold,
    }


def _mean(values: pd.Series) -> float | None:
    return float(values.astype(float).mean()) if len(values) else None

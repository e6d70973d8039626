"""Stage `tree`: the splitting and absorption forest of one family, from the narrowest width up."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import networkx as nx
import numpy as np
import pandas as pd

from interpsweep.config.analysis import TreeSettings
from interpsweep.config.base import own_fields
from interpsweep.context import Context
from interpsweep.matching import coverage as covering
from interpsweep.matching import edges as rules
from interpsweep.matching import forest, traces
from interpsweep.matching.sides import read_codes
from interpsweep.numerics.cosine import unit_rows
from interpsweep.saes.artifact import Dictionary
from interpsweep.saes.firing import Firing
from interpsweep.spec import Spec
from interpsweep.tables import read_json, read_parquet, write_json, write_parquet

EDGE_COLUMNS = [
    *("source", "target", "level", "step", "d_narrow", "d_wide", "n", "w"),
    *("type", "subtype", "primary", "related"),
    *(
        "score",
        *rules.EVIDENCE,
        *rules.MASS,
        "p",
        "p_n_given_w_null",
        "cosine_null",
        "match",
        "match_cosine",
    ),
    *("p_match_given_w", "r_match", "r_child", "asymmetry", "sibling_cosine", "attenuation"),
    *("conservation", "encoder_signature", "holes"),
    *("coverage", "nnls_r2_single", "nnls_r2", "delta_mse"),
]
WIDE_FLOATS = ("log_p", "p")


class Step(NamedTuple):
    """The match table between two widths."""

    pairs: pd.DataFrame
    delta_mse: np.ndarray
    cosine_null: float
    novel_threshold: float | None


def run(spec: Spec, inputs: dict[str, Any], out: Path, ctx: Context) -> dict[str, Any]:
    """Classify all edges of the family ``inputs["saes"]`` (narrow to wide) and grow its forest.

    With ``leading`` among the settings, the dictionaries are so many leading latents of one SAE.
    """
    settings = own_fields(TreeSettings, spec["settings"])
    level = float(read_json(inputs["matches"][0] / "summary.json")["firing_level"])
    widths = spec["settings"].get("leading", [None] * len(inputs["saes"]))
    codes = [
        Firing.above(read_codes(path, n), level)
        for path, n in zip(inputs["codes"], widths, strict=True)
    ]
    narrowest, *wider = inputs["saes"]
    levels = [read_level(narrowest, inputs["matches"][0], "a")]
    levels += [read_level(*one, "b") for one in zip(wider, inputs["matches"], strict=True)]
    steps = [read_step(path) for path in inputs["matches"]]
    ends = [(low, high) for low, high in spec["settings"]["skips"]]
    skips = {at: read_step(path) for at, path in zip(ends, inputs["skips"], strict=True)}
    nodes, edges, summary = build(levels, codes, steps, settings, ctx, skips)
    summary |= {"firing_level": level, "min_firings": settings.min_firings}
    summary["covered"] = settings.covered
    write_parquet(nodes.drop(columns="rare"), out / "nodes.parquet")
    write_parquet(edges, out / "edges.parquet")
    write_json(summary, out / "summary.json")
    write_json(forest.nested(nodes), out / "tree.json")
    nx.write_graphml(forest.graph(nodes, edges), out / "forest.graphml", encoding="utf-8")
    return {key: summary[key] for key in ("roots", "births", "nodes", "depth", "trees")}


def read_step(path: Path) -> Step:
    """Read what the tree needs of a finished match."""
    summary = read_json(path / "summary.json")
    return Step(
        read_parquet(path / "edges.parquet"),
        read_latents(path, "b")["delta_mse"].to_numpy(),
        float(summary["null_covariance"]["q999"]),
        summary["stitching"]["threshold"],
    )


def read_latents(match: Path, side: str) -> pd.DataFrame:
    """The latents of one side of a match, in order."""
    table = read_parquet(match / "features.parquet")
    return table[table["side"] == side].sort_values("feature")


def read_level(path: Path, match: Path, side: str) -> rules.Level:
    """One SAE of a family, or its leading latents: those that are a side of a match, which counted
    their firings.
    """
    sae, latents = Dictionary.open(path), read_latents(match, side)
    n = len(latents)
    decoder = unit_rows(np.asarray(sae.W_dec)[:n])
    encoder = None if sae.transcodes else unit_rows(np.asarray(sae.W_enc).T[:n])
    return rules.Level(
        decoder, encoder, latents["count"].to_numpy(), latents["mean"].to_numpy(np.float64)
    )


def build(
    levels: list[rules.Level],
    codes: list[Any],
    steps: list[Step],
    settings: TreeSettings,
    ctx: Any,
    skips: dict[tuple[int, int], Step] | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """Nodes, edges and summary of a family; `steps[k]` links level k with level k + 1, and
    `skips` has the links between levels further apart.
    """
    all_edges, measured = [], []
    for level, step in enumerate(steps, start=1):
        narrow, wide = levels[level - 1], levels[level]
        table = rules.evidence(step.pairs, narrow, wide)
        edges = classified(table, narrow, wide, step, settings)
        cover = cover_step(edges, table, codes[level - 1], codes[level], narrow, wide, ctx)
        edges = judge_splits(edges, cover, settings)
        all_edges.append(_label(_with_signature(edges, wide), level - 1, level, levels))
        children = children_of(all_edges[-1], table, narrow, wide)
        measured.append(
            covering.measure(codes[level - 1], codes[level], children, narrow.count, ctx.block_map)
        )
    edges = _finish(all_edges + skip_edges(all_edges, skips or {}, levels, settings))
    nodes = forest.grow(node_table(levels, edges, measured, codes, settings), edges)
    nodes = _with_hedging(nodes, edges, levels)
    return nodes, edges, summarise(nodes, edges, levels, steps)


def classified(
    table: pd.DataFrame,
    narrow: rules.Level,
    wide: rules.Level,
    step: Step,
    settings: TreeSettings,
) -> pd.DataFrame:
    """Typed edges of one step from its evidence."""
    return rules.classify(
        table, narrow, wide, step.delta_mse, step.cosine_null, step.novel_threshold, settings
    )


def skip_edges(
    adjacent: list[pd.DataFrame],
    skips: dict[tuple[int, int], Step],
    levels: list[rules.Level],
    settings: TreeSettings,
) -> list[pd.DataFrame]:
    """Edges to parents further below, of latents that have none on the level right below them:
    what a width in between lacks is no reason to begin a tree. The nearest level that has a parent
    is taken.
    """
    placed = {target for edges in adjacent for target in edges.loc[edges["related"], "target"]}
    made = []
    for low, high in sorted(skips, key=lambda ends: (ends[1] - ends[0], ends)):
        step, narrow, wide = skips[low, high], levels[low], levels[high]
        table = rules.evidence(step.pairs, narrow, wide)
        edges = classified(table, narrow, wide, step, settings)
        edges = _label(_with_signature(edges[edges["related"]], wide), low, high, levels)
        made.append(edges[~edges["target"].isin(placed)])
        placed |= set(edges["target"])
    return made


def _with_signature(edges: pd.DataFrame, wide: rules.Level) -> pd.DataFrame:
    """What absorption leaves in the encoder of n's match, for all pairs that have one."""
    signature = np.full(len(edges), np.nan)
    has = np.flatnonzero((edges["match"] >= 0) & (edges["match"] != edges["w"]))
    i, w = (edges[name].to_numpy(np.int64)[has] for name in ("match", "w"))
    signature[has] = traces.encoder_signature(i, w, wide)
    return edges.assign(encoder_signature=signature)


def _with_hedging(
    nodes: pd.DataFrame, edges: pd.DataFrame, levels: list[rules.Level]
) -> pd.DataFrame:
    """How far latents lean into their children on the next level, beside random ones."""
    columns = np.full((2, len(nodes)), np.nan, np.float32)
    for level, (narrow, wide) in enumerate(pairwise(levels)):
        step = edges[(edges["level"] == level + 1) & (edges["step"] == 1)]
        columns[:, nodes["level"] == level] = traces.hedging(step, narrow, wide, level)
    return nodes.assign(hedging=columns[0], hedging_null=columns[1])


def cover_step(
    edges: pd.DataFrame,
    table: pd.DataFrame,
    narrow_codes: Any,
    wide_codes: Any,
    narrow: rules.Level,
    wide: rules.Level,
    ctx: Any,
) -> covering.Coverage:
    """Coverage of all narrow latents by the children named so far."""
    children = children_of(edges, table, narrow, wide)
    return covering.measure(narrow_codes, wide_codes, children, narrow.count, ctx.block_map)


def children_of(
    edges: pd.DataFrame, table: pd.DataFrame, narrow: rules.Level, wide: rules.Level
) -> covering.Children:
    """Child sets by type; the match of a latent is its mutual nearest neighbour."""
    shape = (len(wide.count), len(narrow.count))
    primary = edges[edges["primary"] & edges["related"]]

    def sets(rows: pd.DataFrame) -> Any:
        return covering.membership(rows["w"].to_numpy(int), rows["n"].to_numpy(int), shape)

    return covering.Children(
        split=sets(primary[primary["type"] == "split"]),
        absorbing=sets(primary[primary["type"] == "absorption"]),
        match=sets(table[table["mutual"]]),
    )


def judge_splits(
    edges: pd.DataFrame, cover: covering.Coverage, settings: TreeSettings
) -> pd.DataFrame:
    """Call a split incomplete where its children cover less of the parent than `coverage`."""
    n = edges["n"].to_numpy(int)
    edges = edges.assign(coverage=np.where(n >= 0, cover.split[np.maximum(n, 0)], np.nan))
    lacking = edges["type"].eq("split") & (edges["coverage"] < settings.coverage)
    edges.loc[lacking & edges["subtype"].eq(""), "subtype"] = "incomplete"
    return edges


def _label(edges: pd.DataFrame, low: int, high: int, levels: list[rules.Level]) -> pd.DataFrame:
    """Edges between two levels with the names of their nodes."""
    return edges.assign(
        source=[forest.node_name(low, n) if n >= 0 else "" for n in edges["n"]],
        target=[forest.node_name(high, w) for w in edges["w"]],
        level=high,
        step=high - low,
        d_narrow=len(levels[low].count),
        d_wide=len(levels[high].count),
    )


def _finish(all_edges: list[pd.DataFrame]) -> pd.DataFrame:
    """One table with the documented columns and types."""
    edges = pd.concat(all_edges, ignore_index=True).reindex(columns=EDGE_COLUMNS)
    whole = ["level", "step", "d_narrow", "d_wide", "n", "w", "match"]
    edges[whole] = edges[whole].fillna(-1).astype(np.int32)
    text = ["source", "target", "type", "subtype"]
    floats = [c for c in EDGE_COLUMNS if c not in [*whole, *text, "primary", "related"]]
    for column in floats:
        edges[column] = edges[column].astype(np.float64 if column in WIDE_FLOATS else np.float32)
    return edges.astype({"primary": bool, "related": bool})


def node_table(
    levels: list[rules.Level],
    edges: pd.DataFrame,
    measured: list[covering.Coverage],
    codes: list[Any],
    settings: TreeSettings,
) -> pd.DataFrame:
    """One row per latent of every level, before the forest is grown."""
    # edges to levels further below come last, and only where there is none to the next one
    types = edges[edges["primary"]].drop_duplicates("target", keep="last")
    types = types.set_index("target")["type"]
    tables = []
    for level, here in enumerate(levels):
        size = len(here.count)
        names = [forest.node_name(level, latent) for latent in range(size)]
        after = measured[level]._asdict() if level < len(measured) else {}
        shares = {
            name: np.asarray(after.get(name, np.full(size, np.nan)), np.float32)
            for name in ("hole_rate", "absorption_rate")
        }
        tables.append(
            pd.DataFrame(
                {
                    "node": names,
                    "level": np.int32(level),
                    "d_sae": np.int32(size),
                    "latent": np.arange(size, dtype=np.int32),
                    "count": here.count,
                    "density": (here.count / max(codes[level].n_rows, 1)).astype(np.float32),
                    "mean": here.mean.astype(np.float32),
                    "type": "root" if level == 0 else types.reindex(names).to_numpy(),
                    "rare": here.count < settings.min_firings,
                    **shares,
                }
            )
        )
    return pd.concat(tables, ignore_index=True)


def summarise(
    nodes: pd.DataFrame, edges: pd.DataFrame, levels: list[rules.Level], steps: list[Step]
) -> dict[str, Any]:
    """The family in numbers: what becomes of latents at each step, and the size of the forest."""
    made = [
        forest.step_summary(nodes, edges, level, step.novel_threshold)
        | _traces(edges, level, levels)
        for level, step in enumerate(steps, start=1)
    ]
    tops = nodes[nodes["parent"] == ""]
    return {
        "widths": [len(level.count) for level in levels],
        "steps": made,
        "nodes": len(nodes),
        "roots": int((nodes["level"] == 0).sum()),
        "births": sum(step["births"] for step in made),
        "skipped": sum(step["skipped"] for step in made),
        "depth": int(nodes["depth"].max()),
        "trees": int((tops["size"] > 1).sum()),
        "largest_tree": int(nodes["size"].max()),
    }


def _traces(edges: pd.DataFrame, level: int, levels: list[rules.Level]) -> dict[str, Any]:
    """Mean encoder signature of a step's absorptions, and of pairs that are none."""
    mine = edges[(edges["level"] == level) & (edges["step"] == 1)]
    signature = mine.loc[mine["type"] == "absorption", "encoder_signature"].dropna()
    return {
        "encoder_signature": float(signature.mean()) if len(signature) else None,
        "encoder_signature_null": traces.signature_null(mine, levels[level]),
    }

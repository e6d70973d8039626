"""Stage `geometry`: clusters of one dictionary's directions and a census of their shapes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from interpsweep.activations.artifact import Activations
from interpsweep.config.analysis import GeometrySettings, own_fields
from interpsweep.context import Context
from interpsweep.corpora.artifact import Corpus
from interpsweep.errors import UserError
from interpsweep.geometry import census, cloud, clusters, cofiring, panels, spectrum, tegum
from interpsweep.geometry.clusters import Cluster
from interpsweep.geometry.shapes import SHAPES
from interpsweep.geometry.tokens import Tokens
from interpsweep.matching.coactivation import firing_statistics
from interpsweep.matching.cosine import unit_rows
from interpsweep.saes.artifact import Dictionary
from interpsweep.saes.codes import Codes
from interpsweep.spec import Spec
from interpsweep.tables import write_json, write_parquet

Unit = NDArray[np.float32]
MEMBER_COLUMNS = [
    *("cluster", "source", "feature", "size", "persistence", "mean_cosine", "centrality", "density")
]


def run(spec: Spec, inputs: dict[str, Any], out: Path, ctx: Context) -> dict[str, Any]:
    """Cluster, test, map and picture one SAE; see docs/tables.md for what is written."""
    settings = own_fields(GeometrySettings, spec["settings"])
    codes, activations = Codes.open(inputs["codes"]), Activations.open(inputs["activations"])
    tokens = Tokens(
        Corpus.open(inputs["corpus"]), activations, int(codes.rows[0]), int(codes.rows[1])
    )
    directions = unit_rows(np.asarray(Dictionary.open(inputs["sae"]).W_dec))
    count, mean = firing_statistics(codes, ctx.block_map)
    alive = np.flatnonzero(count >= max(settings.min_firings, 1))
    if len(alive) < settings.min_cluster:
        raise UserError(
            f"{inputs['sae']}: only {len(alive)} latents fire at least {settings.min_firings} "
            "times on the analysis split; train longer or lower geometry.min_firings"
        )
    unit = directions[alive]
    by_cosine = census.find(unit, settings)
    pool = census.null_pool(unit, settings, ctx)
    by_codes = by_profile(codes, tokens, alive, count, settings, ctx)
    subsets = census.subset_pool(unit, by_codes, settings, ctx)
    found = by_cosine + by_codes
    first = len(by_cosine)
    table = pd.concat(
        [
            census.take(unit, alive, by_cosine, pool, settings, ctx),
            census.take(unit, alive, by_codes, subsets, settings, ctx, "cofiring", first),
        ],
        ignore_index=True,
    )
    table, pictures = with_clouds(table, unit, alive, found, codes, tokens, settings, ctx)
    density = count / codes.n_rows
    members = member_table(unit, alive, found, first, density)
    map_ = embedding_table(unit, alive, members, table, count, mean, density, settings)
    ranks = spectrum.table(unit, activations.statistics.covariance, settings.seed)
    made = summarise(directions, map_, ranks, found, pool, table, settings)
    for name, frame in (
        ("clusters", members),
        ("census", table),
        ("embedding", map_),
        ("spectrum", ranks),
        ("panels", pictures),
    ):
        write_parquet(frame, out / f"{name}.parquet")
    write_json(made, out / "summary.json")
    return {key: made[key] for key in ("alive", "clusters", "clusters_null", "models")}


def by_profile(
    codes: Any,
    tokens: Tokens,
    alive: NDArray[np.int64],
    count: NDArray[np.int64],
    settings: GeometrySettings,
    ctx: Context,
) -> list[Cluster]:
    """Clusters of latents by the surroundings they fire in; the directions are not looked at."""
    frequent = np.argsort(-count[alive], kind="stable")[: settings.profile_latents]
    rows = cofiring.profiles(
        codes, tokens.context, alive, alive[np.sort(frequent)], settings.firing_level, ctx
    )
    return clusters.find(
        rows,
        settings.min_cluster,
        settings.max_cluster,
        settings.linkage_limit,
        settings.seed,
    )


def with_clouds(
    table: pd.DataFrame,
    unit: Unit,
    alive: NDArray[np.int64],
    found: list[Cluster],
    codes: Any,
    tokens: Tokens,
    settings: GeometrySettings,
    ctx: Any,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The census with cloud columns, and the panels of its clearest clusters."""
    best = panels.clearest(table, max(settings.cloud_clusters, settings.panels))
    groups = [alive[found[cluster].members] for cluster, _ in best]
    clouds = cloud.collect(codes, groups, settings.cloud_points, settings.seed, ctx)
    jobs = [
        (clouds[i], unit[found[cluster].members], settings.cloud_draws, settings.seed)
        for i, (cluster, _) in enumerate(best[: settings.cloud_clusters])
    ]
    shapes = list(ctx.block_map(_measure, jobs, "activation clouds"))
    columns = pd.DataFrame(shapes, columns=cloud.CloudShape._fields)
    columns["cluster"] = [cluster for cluster, _ in best[: settings.cloud_clusters]]
    table = table.merge(columns, on="cluster", how="left", validate="many_to_one")
    table["cloud_rows"] = table["cloud_rows"].fillna(0).astype(np.int32)
    pictures = [pd.DataFrame(columns=list(panels.COLUMNS)).astype(panels.COLUMNS)]
    for number, (cluster, test) in enumerate(best[: settings.panels]):
        few = thinned(clouds[number], settings.panel_points, settings.seed)
        members = found[cluster].members
        pictures.append(
            panels.panel(number, cluster, test, unit[members], alive[members], few, tokens)
        )
    return table, pd.concat(pictures[1:] or pictures, ignore_index=True)


def _measure(job: tuple[Any, ...]) -> cloud.CloudShape:
    return cloud.measure(*job)


def thinned(points: cloud.Cloud, most: int, seed: int) -> cloud.Cloud:
    """At most `most` of a cloud's tokens, evenly drawn."""
    if len(points.rows) <= most:
        return points
    rng = np.random.default_rng([seed, 7])
    kept = np.sort(rng.choice(len(points.rows), most, replace=False))
    return cloud.Cloud(points.rows[kept], points.codes[kept])


def member_table(
    unit: Unit,
    alive: NDArray[np.int64],
    found: list[Cluster],
    first: int,
    density: NDArray[np.float64],
) -> pd.DataFrame:
    """`clusters.parquet`: one row per member; clusters from number `first` on are by co-firing."""
    parts = []
    for number, cluster in enumerate(found):
        directions = unit[cluster.members].astype(np.float64)
        k, total = len(directions), directions.sum(axis=0)
        centre = total / max(np.linalg.norm(total), 1e-300)
        parts.append(
            pd.DataFrame(
                {
                    "cluster": np.int32(number),
                    "source": "cosine" if number < first else "cofiring",
                    "feature": alive[cluster.members].astype(np.int32),
                    "size": np.int32(k),
                    "persistence": np.float32(cluster.persistence),
                    "mean_cosine": np.float32((total @ total - k) / (k * (k - 1))),
                    "centrality": (directions @ centre).astype(np.float32),
                    "density": density[alive[cluster.members]].astype(np.float32),
                }
            )
        )
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=MEMBER_COLUMNS)


def embedding_table(
    unit: Unit,
    alive: NDArray[np.int64],
    members: pd.DataFrame,
    table: pd.DataFrame,
    count: NDArray[np.int64],
    mean: NDArray[np.float64],
    density: NDArray[np.float64],
    settings: GeometrySettings,
) -> pd.DataFrame:
    """`embedding.parquet`: the 2-D map of all latents that fire, with their clusters by cosine."""
    members = members[members["source"] == "cosine"]
    place = spectrum.embed(unit, settings.embedding, settings.seed)
    cluster = dict(zip(members["feature"], members["cluster"], strict=True))
    shape = dict(zip(table["cluster"], table["best_model"], strict=True))
    mine = [int(cluster.get(feature, -1)) for feature in alive]
    return pd.DataFrame(
        {
            "feature": alive.astype(np.int32),
            "x": place[:, 0].astype(np.float32),
            "y": place[:, 1].astype(np.float32),
            "cluster": np.array(mine, np.int32),
            "density": density[alive].astype(np.float32),
            "mean": mean[alive].astype(np.float32),
            "count": count[alive],
            "dimensionality": tegum.dimensionality(unit).astype(np.float32),
            "shape": [shape.get(number, "") for number in mine],
        }
    )


def summarise(
    directions: Unit,
    map_: pd.DataFrame,
    ranks: pd.DataFrame,
    found: list[Cluster],
    pool: census.NullPool,
    table: pd.DataFrame,
    settings: GeometrySettings,
) -> dict[str, Any]:
    """The dictionary's geometry in numbers; `expected` is what the level alone lets pass."""
    once = table.drop_duplicates("cluster")
    per_cluster, sources = once["best_model"].value_counts(), once["source"].value_counts()
    tests = table.groupby("test")["passes"].sum()
    return {
        "latents": len(directions),
        "alive": len(map_),
        "clusters": len(found),
        "sources": {name: int(sources.get(name, 0)) for name in ("cosine", "cofiring")},
        "clusters_null": pool.per_dictionary,
        "clustered_share": float((map_["cluster"] >= 0).mean()),
        "tests": {
            name: {
                "passing": int(tests.get(name, 0)),
                "expected": settings.level * len(found),
                "clusters": len(found),
            }
            for name in SHAPES
        },
        "models": {str(name): int(n) for name, n in sorted(per_cluster.items())},
        **spectrum.summary(ranks["eigenvalue"].to_numpy(), map_["dimensionality"].to_numpy()),
    }

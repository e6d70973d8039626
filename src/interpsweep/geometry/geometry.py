"""Stage `geometry`: clusters of one dictionary's directions and a census of their shapes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from interpsweep.activations.artifact import Activations
from interpsweep.columns import BY_DIRECTION, BY_FIRING, OF_TOKENS
from interpsweep.config.analysis import GeometrySettings
from interpsweep.config.base import own_fields
from interpsweep.context import Context
from interpsweep.corpora.artifact import Corpus
from interpsweep.geometry import census, cloud, homology, panels, spectrum, tegum
from interpsweep.geometry.groups import Group
from interpsweep.geometry.nulls import LEVEL
from interpsweep.geometry.shapes import SHAPES
from interpsweep.geometry.tokens import Tokens
from interpsweep.geometry.vocabulary import Kinds
from interpsweep.numerics.cosine import unit_rows
from interpsweep.saes.artifact import Dictionary
from interpsweep.saes.codes import Codes
from interpsweep.spec import Spec
from interpsweep.tables import write_json, write_parquet

Unit = NDArray[np.float32]
PANEL_POINTS = 400  # tokens drawn in one panel
MEMBER_COLUMNS = {
    "cluster": np.int32,
    "source": str,
    "feature": np.int32,
    "size": np.int32,
    **dict.fromkeys(("persistence", "mean_cosine"), np.float32),
    "token_id": np.int32,
    "token": str,
    "f1": np.float32,
    "concept": str,
    "value": np.int32,
    "label": str,
}

# numbers that a dictionary without a latent that fires does not have
NO_SPECTRUM = ("participation_ratio", "slope", "mean_dimensionality", "sum_dimensionality")


def run(spec: Spec, inputs: dict[str, Any], out: Path, ctx: Context) -> dict[str, Any]:
    """Cluster, test, map and picture one SAE; see docs/tables.md for what is written."""
    settings = own_fields(GeometrySettings, spec["settings"])
    codes = Codes.open(inputs["codes"])
    activations = Activations.open(inputs["activations"], inputs["masks"])
    tokens = Tokens(
        Corpus.open(inputs["corpus"]), activations, int(codes.rows[0]), int(codes.rows[1])
    )
    directions = unit_rows(np.asarray(Dictionary.open(inputs["sae"]).W_dec))
    alive = np.flatnonzero(codes.count >= max(settings.min_firings, 1))
    unit, few = directions[alive], len(alive) < settings.min_cluster
    survey = (
        nothing(unit, alive, settings, ctx)
        if few
        else census.survey(
            unit, settings, ctx, codes=codes, context=tokens.context, ids=tokens.ids(), alive=alive
        )
    )
    table, pictures, bars = with_clouds(survey, unit, alive, codes, tokens, settings, ctx)
    members = member_table(unit, alive, survey, tokens)
    map_ = embedding_table(unit, alive, members, table, settings)
    covariance = activations.statistics.covariance
    ranks = spectrum.table(unit if len(unit) else directions, covariance, settings.seed)
    ranks = ranks if len(unit) else ranks.head(0)
    made = summarise(directions, map_, ranks, survey, table, settings)
    if few:
        made["reason"] = (
            f"{len(alive)} latents fire at least {settings.min_firings} times on the analysis "
            f"split, fewer than a cluster has (geometry.min_cluster: {settings.min_cluster})"
        )
        ctx.log(f"{inputs['sae']}: no census: {made['reason']}")
    for name, frame in (
        ("clusters", members),
        ("census", table),
        ("embedding", map_),
        ("spectrum", ranks),
        ("panels", pictures),
        ("persistence", bars),
    ):
        write_parquet(frame, out / f"{name}.parquet")
    write_json(made, out / "summary.json")
    return {key: made[key] for key in ("alive", "clusters", "clusters_null", "models")}


def nothing(
    unit: Unit, alive: NDArray[np.int64], settings: GeometrySettings, ctx: Any
) -> census.Survey:
    """The census of fewer latents than a cluster has: its table without rows."""
    none = census.Searched([], {})
    return census.Survey(census.take(unit, alive, [], None, none, settings, ctx), [], None, {})


def with_clouds(
    survey: census.Survey,
    unit: Unit,
    alive: NDArray[np.int64],
    codes: Any,
    tokens: Tokens,
    settings: GeometrySettings,
    ctx: Any,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """The census with cloud columns, the panels of its clearest clusters, and the bars of their
    clouds.
    """
    best = panels.clearest(survey.table, max(settings.cloud_clusters, settings.panels))
    scenes = [scene(survey, *one, unit, alive, tokens) for one in best]
    wanted = [(alive[one.latents], one.rows) for one in scenes]
    clouds = cloud.collect(codes, wanted, cloud.POINTS, settings.seed, ctx)
    measured = scenes[: settings.cloud_clusters]
    jobs = [
        (clouds[i], unit[one.latents], cloud.DRAWS, settings.seed) for i, one in enumerate(measured)
    ]
    shapes = list(ctx.block_map(_measure, jobs, "activation clouds"))
    columns = pd.DataFrame([shape for shape, _ in shapes], columns=cloud.CloudShape._fields)
    columns["cluster"] = np.array([one.cluster for one in measured], np.int32)
    table = survey.table.merge(columns, on="cluster", how="left", validate="many_to_one")
    table["cloud_rows"] = table["cloud_rows"].fillna(0).astype(np.int32)
    table["loop_power"] = table["loop_power"].fillna("")
    bars = [pd.DataFrame({"cluster": [], "birth": [], "death": []})]
    bars += [
        pd.DataFrame({"cluster": one.cluster, "birth": loops.births, "death": loops.deaths})
        for one, (_, loops) in zip(measured, shapes, strict=True)
    ]
    pictures = [pd.DataFrame(columns=list(panels.COLUMNS)).astype(panels.COLUMNS)]
    for number, one in enumerate(scenes[: settings.panels]):
        few = thinned(clouds[number], PANEL_POINTS, settings.seed)
        angle = np.full(len(few.rows), np.nan)
        if number < len(shapes) and shapes[number][0].p_loop <= LEVEL:
            found, directions = shapes[number][1], unit[one.latents].astype(np.float64)
            known = cloud.coordinates(clouds[number].codes[found.rows], directions)
            angle = homology.angles(cloud.coordinates(few.codes, directions), known, found.angle)
        pictures.append(panels.panel(number, one, unit, alive, few, angle, tokens))
    return (
        table,
        pd.concat(pictures[1:] or pictures, ignore_index=True),
        pd.concat(bars, ignore_index=True).astype({"cluster": np.int32}),
    )


def scene(
    survey: census.Survey,
    cluster: int,
    test: str,
    kind: str,
    unit: Unit,
    alive: NDArray[np.int64],
    tokens: Tokens,
) -> panels.Scene:
    """What a panel of a cluster draws: the object `kind`, and the latents and rows of its cloud."""
    group = survey.groups[cluster]
    thing = next(t for t in census.objects(group, unit, alive, survey.kinds) if t.kind == kind)
    latents, rows = group.members, None
    if kind != "directions" and survey.kinds is not None:
        latents = np.unique(survey.kinds.codes[group.kinds].indices).astype(np.int64)
        rows = np.flatnonzero(np.isin(tokens.ids(), thing.names))
    return panels.Scene(cluster, test, kind, thing.points, thing.names, latents, rows)


def _measure(job: tuple[Any, ...]) -> tuple[cloud.CloudShape, homology.Loops]:
    return cloud.measure(*job)


def thinned(points: cloud.Cloud, most: int, seed: int) -> cloud.Cloud:
    """At most `most` of a cloud's tokens, evenly drawn."""
    if len(points.rows) <= most:
        return points
    rng = np.random.default_rng([seed, 7])
    kept = np.sort(rng.choice(len(points.rows), most, replace=False))
    return points._replace(rows=points.rows[kept], codes=points.codes[kept])


def member_table(
    unit: Unit,
    alive: NDArray[np.int64],
    survey: census.Survey,
    tokens: Tokens,
) -> pd.DataFrame:
    """`clusters.parquet`: one row per latent of a group; per kind of token of a group of tokens."""
    parts = []
    for number, group in enumerate(survey.groups):
        parts.append(
            _kind_rows(survey.kinds, group, alive, tokens)
            if survey.kinds is not None and len(group.kinds)
            else _latent_rows(unit, group, alive)
        )
        parts[-1] = parts[-1].assign(
            cluster=np.int32(number),
            source=group.source,
            size=np.int32(len(parts[-1])),
            persistence=np.float32(group.persistence),
        )
    if not parts:
        return pd.DataFrame(columns=list(MEMBER_COLUMNS)).astype(MEMBER_COLUMNS)
    return pd.concat(parts, ignore_index=True)[list(MEMBER_COLUMNS)].astype(MEMBER_COLUMNS)


def _latent_rows(unit: Unit, group: Group, alive: NDArray[np.int64]) -> pd.DataFrame:
    directions = unit[group.members].astype(np.float64)
    k, total = len(directions), directions.sum(axis=0)
    nothing = {"token_id": -1, "token": "", "f1": np.nan, "concept": "", "value": -1, "label": ""}
    return pd.DataFrame(
        {
            "feature": alive[group.members],
            "mean_cosine": (total @ total - k) / max(k * (k - 1), 1),
            **nothing,
        }
    )


def _kind_rows(
    kinds: Kinds, group: Group, alive: NDArray[np.int64], tokens: Tokens
) -> pd.DataFrame:
    held, latents = kinds.holders(group.kinds)
    holder = dict(zip(held.tolist(), alive[latents].tolist(), strict=True))
    ids = kinds.ids[group.kinds]
    concept, value, label = zip(*tokens.named(ids), strict=True)
    return pd.DataFrame(
        {
            "feature": [holder.get(kind, -1) for kind in group.kinds.tolist()],
            "mean_cosine": np.nan,
            "token_id": ids,
            "token": tokens.words(ids),
            "f1": kinds.f1[group.kinds],
            "concept": concept,
            "value": value,
            "label": label,
        }
    )


def embedding_table(
    unit: Unit,
    alive: NDArray[np.int64],
    members: pd.DataFrame,
    table: pd.DataFrame,
    settings: GeometrySettings,
) -> pd.DataFrame:
    """`embedding.parquet`: the 2-D map of all latents that fire, with their clusters by cosine."""
    members = members[members["source"] == "cosine"]
    place = np.zeros((0, 2))
    if len(unit):
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
            "dimensionality": tegum.dimensionality(unit).astype(np.float32),
            "shape": [shape.get(number, "") for number in mine],
        }
    )


def summarise(
    directions: Unit,
    map_: pd.DataFrame,
    ranks: pd.DataFrame,
    survey: census.Survey,
    table: pd.DataFrame,
    settings: GeometrySettings,
) -> dict[str, Any]:
    """The dictionary's geometry in numbers; `expected` is what the level alone lets pass."""
    found = survey.groups
    once = table.drop_duplicates("cluster")
    per_cluster, sources = once["best_model"].value_counts(), once["source"].value_counts()
    tests = table.groupby("test")["passes"].sum()
    done = table.groupby("test")["p_selected"].count()
    return {
        "latents": len(directions),
        "alive": len(map_),
        "clusters": len(found),
        "sources": {
            name: int(sources.get(name, 0)) for name in (*BY_DIRECTION, *BY_FIRING, *OF_TOKENS)
        },
        "clusters_null": survey.null_clusters,
        "clustered_share": float((map_["cluster"] >= 0).mean()) if len(map_) else 0.0,
        "tests": {
            name: {
                "passing": int(tests.get(name, 0)),
                "expected": LEVEL * int(done.get(name, 0)),
                "clusters": int(done.get(name, 0)),
            }
            for name in SHAPES
        },
        "models": {str(name): int(n) for name, n in sorted(per_cluster.items())},
        **(
            spectrum.summary(ranks["eigenvalue"].to_numpy(), map_["dimensionality"].to_numpy())
            if len(map_)
            else dict.fromkeys(NO_SPECTRUM)
        ),
    }

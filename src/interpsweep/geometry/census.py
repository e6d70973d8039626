"""The census: every group of latents or tokens against every shape, with nulls for each.

`survey` is the entry point for a dictionary: unit directions and, if there are any, codes go in;
one row per group, object and test comes out, ready for q-values (one family is one source, object
and test; the p-value to use is `p_selected`):

    found = survey(unit, settings, ctx, codes=codes, context=context, ids=token_ids, alive=alive)
    found.table        # columns: see docs/tables.md, census.parquet
    found.groups       # the groups, numbered as in the column `cluster`

A group has up to two objects, never mixed: its *directions* (decoder rows of its latents), and its
*token means* (mean reconstructions of its kinds of tokens).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from interpsweep.config.analysis import GeometrySettings
from interpsweep.geometry import groups, models, nulls, twins
from interpsweep.geometry.groups import Group
from interpsweep.geometry.shapes import SHAPES, Shape
from interpsweep.geometry.vocabulary import Kinds
from interpsweep.saes.firing import firing_statistics

Unit = NDArray[np.float32]
Array = NDArray[np.float64]
NULL_DRAWS = 99  # draws that standardise a statistic on a null cluster


class Outcome(NamedTuple):
    """One test on one object."""

    statistic: float
    null_mean: float
    null_sd: float
    z: float
    p: float
    draws: int


class NullPool(NamedTuple):
    """Clusters in null dictionaries: sizes (m,), z of each test (m,), clusters per dictionary."""

    sizes: NDArray[np.int64]
    z: dict[str, Array]
    per_dictionary: float


class Survey(NamedTuple):
    """A census: its table, its groups in order of their number, the kinds of tokens if there were
    codes, and the mean number of clusters by direction in a null dictionary, by source.
    """

    table: pd.DataFrame
    groups: list[Group]
    kinds: Kinds | None
    null_clusters: dict[str, float]


def survey(
    unit: Unit,
    settings: GeometrySettings,
    ctx: Any,
    codes: Any = None,
    context: NDArray[np.integer] | None = None,
    ids: NDArray[np.integer] | None = None,
    alive: NDArray[np.int64] | None = None,
) -> Survey:
    """Take the census of the unit directions (n, d).

    `codes` is a reader like `saes.codes.Codes`; `context` and `ids` (rows,) are the context and
    the token id of each of its rows; `alive` (n,) says which latent of the codes a direction
    belongs to (default: all in order).
    """
    names = np.arange(len(unit)) if alive is None else alive
    found = by_directions(unit, settings, ctx)
    pools: dict[str, NullPool] = {
        s: null_pool(s, unit, settings, ctx) for s in settings.clusterings
    }
    kinds = None
    if codes is not None and context is not None:
        count, _ = firing_statistics(codes, ctx.block_map)
        more, kinds = groups.of_codes(codes, context, ids, names, count[names], settings, ctx)
        found += more
    table = take(unit, names, found, kinds, pools, settings, ctx)
    return Survey(table, found, kinds, {s: pool.per_dictionary for s, pool in pools.items()})


def by_directions(unit: Unit, settings: GeometrySettings, ctx: Any) -> list[Group]:
    """All groups chosen by direction, with their stability."""
    work = partial(_stable, unit=unit, settings=settings)
    parts = ctx.block_map(work, settings.clusterings, "clusters of directions")
    return [group for part in parts for group in part]


def _stable(source: str, unit: Unit, settings: GeometrySettings) -> list[Group]:
    found = groups.by_direction(source, unit, settings)
    again = groups.stability(source, unit, found, settings)
    return [group._replace(stability=value) for group, value in zip(found, again, strict=True)]


def outcomes(
    directions: NDArray[np.floating],
    components: int,
    draws: int,
    most: int,
    rng: np.random.Generator,
    wanted: tuple[str, ...] = tuple(SHAPES),
) -> dict[str, Outcome]:
    """Shape tests of one object (k, d), without those that need more points.

    `draws` standardise a statistic; a p-value that they do not settle gets up to `most` draws.
    """
    k, dim = directions.shape
    points = nulls.principal(directions, components)
    scale = np.linalg.norm(directions.astype(np.float64), axis=1)

    def arranged(n: int) -> Array:
        return nulls.haar(points, n, rng)

    def scattered(n: int) -> Array:
        return nulls.random_directions(k, dim, n, rng) * scale[:, None]

    first = {"haar": arranged(draws), "random": scattered(draws)}
    made = {}
    for name in wanted:
        shape = SHAPES[name]
        if k < shape.least:
            continue
        source = arranged if shape.null == "haar" else scattered
        data = points if shape.null == "haar" else np.asarray(directions, np.float64)
        value = float(shape.statistic(data[None])[0])
        drawn = shape.statistic(first[shape.null])
        mean, spread = float(drawn.mean()), float(drawn.std())
        p, used = nulls.settled_p(value, drawn, partial(_draw, shape, source), most)
        made[name] = Outcome(value, mean, spread, (value - mean) / max(spread, 1e-12), p, used)
    return made


def _draw(shape: Shape, source: Callable[[int], Array], draws: int) -> Array:
    return shape.statistic(source(draws))


def null_dictionary(
    index: int, source: str, unit: Unit, settings: GeometrySettings
) -> tuple[NDArray[np.int64], Array]:
    """Sizes (m,) and z values (m, tests) of the clusters of one covariance-matched dictionary."""
    rng = np.random.default_rng([settings.seed, 2, index])
    twin = twins.twin(unit, min(len(unit), settings.null_latents), rng).astype(np.float32)
    rows, sizes = [], []
    for group in groups.by_direction(source, twin, settings):
        directions = twin[group.members]
        made = outcomes(directions, settings.components, NULL_DRAWS, NULL_DRAWS, rng)
        rows.append([made[name].z if name in made else np.nan for name in SHAPES])
        sizes.append(len(directions))
    return np.array(sizes, np.int64), np.array(rows, np.float64).reshape(-1, len(SHAPES))


def null_pool(source: str, unit: Unit, settings: GeometrySettings, ctx: Any) -> NullPool:
    """Clusters of all null dictionaries together: the null of clusters chosen by direction."""
    work = partial(null_dictionary, source=source, unit=unit, settings=settings)
    parts = list(ctx.block_map(work, range(settings.null_dictionaries), "null dictionaries"))
    z = np.concatenate([rows for _, rows in parts])
    return NullPool(
        np.concatenate([sizes for sizes, _ in parts]),
        {name: z[:, i] for i, name in enumerate(SHAPES)},
        len(z) / max(len(parts), 1),
    )


TYPES = {
    **dict.fromkeys(("cluster", "size", "n_selected", "draws"), np.int32),
    **dict.fromkeys(("source", "test", "object", "null", "order", "best_model", "power"), str),
    **dict.fromkeys(
        ("statistic", "null_mean", "null_sd", "z", "p", "p_codes", "p_selected", "closure"),
        np.float64,
    ),
    **{f"r2_{name}": np.float64 for name in models.MODELS},
    "passes": bool,
}
COLUMNS = [
    *("cluster", "source", "object", "size", "test", "statistic", "null_mean", "null_sd", "z"),
    *("null", "p", "draws", "p_codes", "p_selected", "n_selected", "power", "passes"),
    *("closure", "order", "best_model", *(f"r2_{name}" for name in models.MODELS)),
]


def take(
    unit: Unit,
    features: NDArray[np.int64],
    found: list[Group],
    kinds: Kinds | None,
    pools: dict[str, NullPool],
    settings: GeometrySettings,
    ctx: Any,
) -> pd.DataFrame:
    """The census table; `features` names the rows of `unit`, `pools` are by source."""
    work = partial(
        _group_rows, unit=unit, features=features, kinds=kinds, pools=pools, settings=settings
    )
    rows = [row for part in ctx.block_map(work, list(enumerate(found)), "census") for row in part]
    return pd.DataFrame(rows, columns=COLUMNS).astype(TYPES)


class Object(NamedTuple):
    """Points of a group that are tested: (k, d), and their names (latents or token ids)."""

    kind: str
    points: NDArray[np.floating]
    names: NDArray[np.int64]


def objects(
    group: Group, unit: Unit, features: NDArray[np.int64], kinds: Kinds | None
) -> list[Object]:
    """The directions of a group's latents, and the mean reconstructions of its kinds of tokens."""
    made = []
    if len(group.members):
        made.append(Object("directions", unit[group.members], features[group.members]))
    if kinds is not None and len(group.kinds):
        means = kinds.means(group.kinds, unit) - kinds.centre(unit)
        kept = nulls.inliers(means)
        made.append(Object("token means", means[kept], kinds.ids[group.kinds[kept]]))
    return made


def _group_rows(
    block: tuple[int, Group],
    unit: Unit,
    features: NDArray[np.int64],
    kinds: Kinds | None,
    pools: dict[str, NullPool],
    settings: GeometrySettings,
) -> list[dict[str, Any]]:
    number, group = block
    rng = np.random.default_rng([settings.seed, 3, number])
    pool = pools.get(group.source)
    rows = []
    for thing in objects(group, unit, features, kinds):
        mine = _object_rows(thing, pool, settings, rng)
        if thing.kind == "token means" and kinds is not None:
            for row in mine:
                if row["passes"] and row["null"] == "haar":
                    row["p_codes"] = codes_alone(
                        row["test"], row["statistic"], kinds.codes[group.kinds], unit, settings, rng
                    )
        rows += mine
    best = best_model(rows)
    return [{"cluster": number, "source": group.source, **row, "best_model": best} for row in rows]


def _object_rows(
    thing: Object, pool: NullPool | None, settings: GeometrySettings, rng: np.random.Generator
) -> list[dict[str, Any]]:
    made = outcomes(thing.points, settings.components, settings.draws, settings.most_draws, rng)
    points = nulls.principal(thing.points, settings.components)
    rows: list[dict[str, Any]] = []
    for test, shape in SHAPES.items():
        outcome = made.get(test)
        order = shape.order(points) if shape.order and outcome else None
        row = {
            "object": thing.kind,
            "size": len(thing.points),
            "test": test,
            "null": shape.null,
            "closure": np.nan if order is None else models.closure(points, order),
            "order": "" if order is None else ",".join(map(str, thing.names[order])),
            "p_codes": np.nan,
        }
        if outcome is None:
            empty = dict.fromkeys(("statistic", "null_mean", "null_sd", "z", "p"), np.nan)
            row |= empty | {"p_selected": np.nan, "draws": 0, "n_selected": 0, "passes": False}
            row["power"] = f"no power below {shape.least} points"
        else:
            p, count = outcome.p, 0
            if pool is not None:
                p, count = nulls.selected_p(len(thing.points), outcome.z, pool.sizes, pool.z[test])
            row |= outcome._asdict() | {"p_selected": p, "n_selected": count, "power": ""}
            row["passes"] = max(p, outcome.p) <= settings.level
        rows.append(row)
    fitted = dict.fromkeys(models.MODELS, np.nan)
    if any(row["passes"] for row in rows):
        fitted = models.adjusted(points, rng)
    return [{**row, **{f"r2_{name}": value for name, value in fitted.items()}} for row in rows]


def best_model(rows: list[dict[str, Any]]) -> str:
    """A group's name: from the object in which one of its tests is clearest."""
    passing = [row for row in rows if row["passes"]]
    if not passing:
        return "unresolved"
    clear = [row for row in passing if row["test"] != "simplex"] or passing
    best = min(clear, key=lambda row: (row["p_selected"], -row["z"]))["object"]
    mine = [row for row in rows if row["object"] == best]
    closure = next(row["closure"] for row in mine if row["test"] == "circle")
    fitted = {name: mine[0][f"r2_{name}"] for name in models.MODELS}
    return models.name([row["test"] for row in mine if row["passes"]], fitted, closure)


CODES_DRAWS = 99  # random dictionaries behind `p_codes`


def codes_alone(
    test: str,
    value: float,
    codes: Any,
    unit: Unit,
    settings: GeometrySettings,
    rng: np.random.Generator,
) -> float:
    """p of a statistic of token means when the same codes (k, n) are on random directions (N0).

    A large p says that which latents the tokens share gives the shape already.
    """
    used = np.flatnonzero(np.diff(codes.tocsc().indptr))
    dense = codes[:, used].toarray()
    made = [
        dense @ nulls.random_directions(len(used), unit.shape[1], 1, rng)[0]
        for _ in range(CODES_DRAWS)
    ]
    points = nulls.batch_principal(np.array(made), settings.components)
    return nulls.upper_p(value, SHAPES[test].statistic(points))

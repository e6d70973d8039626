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

from collections.abc import Callable, Collection
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from interpsweep.columns import CENSUS, MODELS
from interpsweep.config.analysis import GeometrySettings
from interpsweep.geometry import groups, nulls, shape_fits
from interpsweep.geometry.groups import Group
from interpsweep.geometry.outcomes import Outcome, outcomes
from interpsweep.geometry.selection import TESTS, NullPool, null_pool
from interpsweep.geometry.shapes import SHAPES, Shape
from interpsweep.geometry.vocabulary import Kinds
from interpsweep.tables import typed

Unit = NDArray[np.float32]
Array = NDArray[np.float64]
OWN, MEANS = "directions", "token means"  # the kinds of objects
AT_ONCE = 100  # other sets of points held at a time
# what else a group could have been: size k, draws, generator -> sets of points (draws, k, d)
Others = Callable[[int, int, np.random.Generator], Array]


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
    searched = search(unit, found, settings, ctx)
    kinds = None
    if codes is not None and context is not None:
        count = codes.count[names]
        more, kinds = groups.of_codes(codes, context, ids, names, count, settings, ctx)
        found += more
    table = take(unit, names, found, kinds, searched, settings, ctx)
    null_clusters = {source: pool.per_dictionary for source, pool in searched.pools.items()}
    return Survey(table, found, kinds, null_clusters)


def by_directions(unit: Unit, settings: GeometrySettings, ctx: Any) -> list[Group]:
    """All groups chosen by direction, source by source."""
    work = partial(groups.by_direction, unit=unit, settings=settings)
    parts = ctx.block_map(work, settings.clusterings, "clusters of directions")
    return [group for part in parts for group in part]


class Searched(NamedTuple):
    """What a search for groups by direction is held against: the outcome of each test of each group
    (the groups by direction come first), and the clusters of null dictionaries, by source.
    """

    outcomes: list[dict[str, Outcome]]
    pools: dict[str, NullPool]


def search(unit: Unit, found: list[Group], settings: GeometrySettings, ctx: Any) -> Searched:
    """Test the groups found by direction; search null dictionaries for the tests that reject."""
    work = partial(_searched_group, unit=unit, settings=settings)
    tested = list(ctx.block_map(work, list(enumerate(found)), "clusters of directions, tested"))
    sizes = np.array([len(group.members) for group in found], np.int64)
    z = np.full((len(found), len(SHAPES)), np.nan)
    for own, made in zip(z, tested, strict=True):
        for number, name in enumerate(SHAPES):
            if name in made and name in TESTS and made[name].p <= nulls.LEVEL:
                own[number] = made[name].z
    pools: dict[str, NullPool] = {}
    for source in settings.clusterings:
        mine = np.array([group.source == source for group in found], bool)
        pools[source] = null_pool(source, unit, sizes[mine], z[mine], settings, ctx)
    return Searched(tested, pools)


def _searched_group(
    block: tuple[int, Group], unit: Unit, settings: GeometrySettings
) -> dict[str, Outcome]:
    number, group = block
    rng = np.random.default_rng([settings.seed, 16, number])
    draws = settings.draws  # this p only gates
    return outcomes(unit[group.members], settings.components, draws, draws, rng)


def take(
    unit: Unit,
    features: NDArray[np.int64],
    found: list[Group],
    kinds: Kinds | None,
    searched: Searched,
    settings: GeometrySettings,
    ctx: Any,
) -> pd.DataFrame:
    """The census table; `features` names the rows of `unit`."""
    work = partial(
        _group_rows,
        unit=unit,
        features=features,
        kinds=kinds,
        every=population(unit, kinds),
        searched=searched,
        settings=settings,
    )
    rows = [row for part in ctx.block_map(work, list(enumerate(found)), "census") for row in part]
    return typed(rows, CENSUS)


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
        made.append(Object(OWN, unit[group.members], features[group.members]))
    if kinds is not None and len(group.kinds):
        means = kinds.means(group.kinds, unit) - kinds.centre(unit)
        kept = nulls.inliers(means)
        made.append(Object(MEANS, means[kept], kinds.ids[group.kinds[kept]]))
    return made


def population(unit: Unit, kinds: Kinds | None) -> dict[str, NDArray[np.floating]]:
    """All points (n, d) that a group could have had, by kind of object; without strays."""
    every: dict[str, NDArray[np.floating]] = {OWN: unit}
    if kinds is not None and len(kinds.ids):
        means = kinds.means(np.arange(len(kinds.ids)), unit) - kinds.centre(unit)
        every[MEANS] = means[nulls.inliers(means)]
    return every


def _group_rows(
    block: tuple[int, Group],
    unit: Unit,
    features: NDArray[np.int64],
    kinds: Kinds | None,
    every: dict[str, NDArray[np.floating]],
    searched: Searched,
    settings: GeometrySettings,
) -> list[dict[str, Any]]:
    number, group = block
    rng = np.random.default_rng([settings.seed, 3, number])
    known = None
    if number < len(searched.outcomes):
        known = searched.outcomes[number], searched.pools[group.source]
    rows = []
    for thing in objects(group, unit, features, kinds):
        others = partial(subsets, every[thing.kind])
        mine = object_rows(thing, others, settings, rng, known=known)
        if thing.kind == MEANS and kinds is not None:
            kept = group.kinds[np.isin(kinds.ids[group.kinds], thing.names)]
            for row in mine:
                if row["passes"] and row["null"].startswith("haar"):
                    row["p_codes"] = codes_alone(
                        row["test"], row["statistic"], kinds.codes[kept], unit, settings, rng
                    )
        rows += mine
    best = best_model(rows)
    return [{"cluster": number, "source": group.source, **row, "best_model": best} for row in rows]


def object_rows(
    thing: Object,
    others: Others,
    settings: GeometrySettings,
    rng: np.random.Generator,
    tests: Collection[str] = tuple(SHAPES),
    near: bool = False,
    known: tuple[dict[str, Outcome], NullPool] | None = None,
) -> list[dict[str, Any]]:
    """Rows of one object, one for each of the `tests`, without cluster, source and best_model.

    `known` are the outcomes of a group found by clustering directions, and the clusters of null
    dictionaries. For other groups `others` gives what else they could have been; `near` says that
    one was chosen by direction all the same.
    """
    pool = None
    if known is not None:
        made, pool = known
    else:
        wanted = tuple(t for t in tests if not SHAPES[t].directions_only or thing.kind == OWN)
        made = outcomes(
            thing.points, settings.components, settings.draws, settings.most_draws, rng, wanted
        )
    points = nulls.principal(thing.points, settings.components)
    rows: list[dict[str, Any]] = []
    for test, shape in ((name, SHAPES[name]) for name in tests):
        outcome = made.get(test)
        order = shape.order(points) if shape.order and outcome else None
        row = {
            "object": thing.kind,
            "size": len(thing.points),
            "test": test,
            "null": shape.null,
            "closure": np.nan if order is None else shape_fits.closure(points, order),
            "order": "" if order is None else ",".join(map(str, thing.names[order])),
            "p_codes": np.nan,
        }
        if outcome is None:
            empty = dict.fromkeys(("statistic", "null_mean", "null_sd", "z", "p"), np.nan)
            row |= empty | {"p_selected": np.nan, "draws": 0, "n_selected": 0, "passes": False}
            few = len(thing.points) < shape.least
            row["power"] = f"no power below {shape.least} points" if few else "does not apply"
        else:
            p, count, power = selected(
                test, outcome, len(points), others, pool, len(made), settings, rng, near
            )
            row |= outcome._asdict() | {"p_selected": p, "n_selected": count, "power": power}
            row["passes"] = bool(p <= nulls.LEVEL and outcome.p <= nulls.LEVEL)
        rows.append(row)
    fitted = dict.fromkeys(MODELS, np.nan)
    if any(row["passes"] for row in rows):
        fitted = shape_fits.adjusted(points, rng)
    return [{**row, **{f"r2_{name}": value for name, value in fitted.items()}} for row in rows]


EVEN = "no power: chosen by direction, and training spaces directions evenly"


def selected(
    test: str,
    outcome: Outcome,
    size: int,
    others: Others,
    pool: NullPool | None,
    tests: int,
    settings: GeometrySettings,
    rng: np.random.Generator,
    near: bool = False,
) -> tuple[float, int, str]:
    """p of one of `tests` tests of `size` points given how the group was chosen, how many null
    clusters are behind it, and why there is none.

    With a `pool`: the rank of z among null clusters of the size if the test's own null rejects at
    `LEVEL`, else 1. Without: the test's own p, and for shapes that equal lengths alone bring points
    nearer to (`even`; for all shapes if the group was chosen for being `near`) the larger of that
    and the p against as many points drawn by `others`.
    """
    shape = SHAPES[test]
    if pool is None:
        if outcome.p > nulls.LEVEL or not (near or shape.even):
            return outcome.p, 0, ""
        draw = partial(_others, shape, others, size, settings.components, rng.spawn(1)[0])
        p, _ = nulls.settled_p(outcome.statistic, draw, settings.most_draws)
        return max(outcome.p, p), 0, ""
    if shape.null == "random":
        return np.nan, 0, EVEN
    if outcome.p > nulls.LEVEL:
        return 1.0, 0, ""
    needed = nulls.LEVEL / tests
    p, count = nulls.selected_p(size, outcome.z, pool.sizes, pool.z[test], needed)
    return p, count, f"no power with {count} null clusters of its size" if np.isnan(p) else ""


def _others(
    shape: Shape,
    others: Others,
    size: int,
    components: int,
    rng: np.random.Generator,
    draws: int,
) -> Array:
    """A statistic of `draws` other sets of points; the least one where the test does not apply."""
    made = []
    for first in range(0, draws, AT_ONCE):
        data = others(size, min(AT_ONCE, draws - first), rng)
        if shape.null.startswith("haar"):
            data = nulls.batch_principal(data, components)
        made.append(np.where(shape.applies(data), shape.statistic(data), -np.inf))
    return np.concatenate(made)


def subsets(every: NDArray[np.floating], size: int, draws: int, rng: np.random.Generator) -> Array:
    """`draws` random sets of `size` points of `every` one (n, d), (draws, size, d)."""
    some = min(size, len(every))
    rows = rng.random((draws, len(every))).argpartition(some - 1, axis=1)[:, :some]
    return np.asarray(every, np.float64)[rows]


def best_model(rows: list[dict[str, Any]]) -> str:
    """A group's name: from the object in which one of its tests is clearest."""
    passing = [row for row in rows if row["passes"]]
    if not passing:
        return "unresolved"
    clear = [row for row in passing if row["test"] != "simplex"] or passing
    best = min(clear, key=lambda row: (row["p_selected"], -row["z"]))["object"]
    mine = [row for row in rows if row["object"] == best]
    closure = {row["test"]: row["closure"] for row in mine}
    fitted = {name: mine[0][f"r2_{name}"] for name in MODELS}
    tests = [row["test"] for row in mine if row["passes"]]
    return shape_fits.name(tests, fitted, closure["circle"], closure["line"])


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

"""The census: every cluster against every shape, with nulls that know clusters were selected.

Clusters come from two sources: cosines of the directions, and firing profiles of the codes.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from interpsweep.config.analysis import GeometrySettings
from interpsweep.geometry import clusters, models, nulls
from interpsweep.geometry.shapes import SHAPES
from interpsweep.matching.operators import covariance_matched

NULL_DRAWS = 99  # draws that standardise a statistic on a null cluster
SUBSETS = 40  # random subsets drawn at least per null dictionary
MORE_DRAWS, AT_ONCE = 9999, 1111  # arrangements drawn where no random subset reaches a z


class Outcome(NamedTuple):
    """One test on one cluster."""

    statistic: float
    null_mean: float
    null_sd: float
    z: float
    p: float


class NullPool(NamedTuple):
    """Clusters in null dictionaries: sizes (m,), z of each test (m,), clusters per dictionary.

    `by_size`: a cluster is compared with those of its own size bin only.
    """

    sizes: NDArray[np.int64]
    z: dict[str, NDArray[np.float64]]
    per_dictionary: float
    by_size: bool = True

    def p(self, size: int, z: float, test: str) -> tuple[float, int]:
        """Selection-aware p of a cluster's z, and the number of null clusters behind it."""
        if self.by_size:
            return nulls.selected_p(size, z, self.sizes, self.z[test])
        return nulls.upper_p(z, self.z[test]), len(self.z[test])


def outcomes(
    directions: NDArray[np.float32], components: int, draws: int, rng: np.random.Generator
) -> dict[str, Outcome]:
    """All shape tests of one cluster's unit directions (k, d)."""
    points = nulls.principal(directions, components)
    arranged = nulls.haar(points, draws, rng)
    scattered = nulls.random_directions(len(directions), directions.shape[1], draws, rng)
    made = {}
    for name, shape in SHAPES.items():
        data, null = (points, arranged) if shape.null == "haar" else (directions, scattered)
        value = float(shape.statistic(np.asarray(data, np.float64)[None])[0])
        draw = shape.statistic(null)
        mean, spread = float(draw.mean()), float(draw.std())
        z = (value - mean) / max(spread, 1e-12)
        made[name] = Outcome(value, mean, spread, z, nulls.upper_p(value, draw))
    return made


def beyond(points: NDArray[np.float64], test: str, value: float, rng: np.random.Generator) -> float:
    """p of a statistic against many Haar-random arrangements of the points (k, r).

    For clusters chosen by codes only: that choice never saw the arrangement of the directions, so
    the null of arrangements needs no correction for it.
    """
    drawn = [
        SHAPES[test].statistic(nulls.haar(points, AT_ONCE, rng))
        for _ in range(MORE_DRAWS // AT_ONCE)
    ]
    return nulls.upper_p(value, np.concatenate(drawn))


def null_dictionary(index: int, unit: NDArray[np.float32], settings: GeometrySettings) -> Any:
    """Sizes and z values of the clusters of one covariance-matched dictionary."""
    rng = np.random.default_rng([settings.seed, 2, index])
    twin = covariance_matched(unit, min(len(unit), settings.null_latents), rng)
    return _null_rows([twin[c.members] for c in find(twin, settings)], settings, rng)


def null_subsets(
    index: int, unit: NDArray[np.float32], sizes: list[int], settings: GeometrySettings
) -> Any:
    """Sizes and z values of random subsets, as large as given, of one covariance-matched
    dictionary.
    """
    rng = np.random.default_rng([settings.seed, 8, index])
    twin = covariance_matched(unit, min(len(unit), settings.null_latents), rng)
    drawn = sizes * -(-SUBSETS // max(len(sizes), 1))
    chosen = [twin[rng.choice(len(twin), min(k, len(twin)), replace=False)] for k in drawn]
    return _null_rows(chosen, settings, rng)


def _null_rows(
    chosen: list[NDArray[np.float32]], settings: GeometrySettings, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    rows = []
    for directions in chosen:
        made = outcomes(directions, settings.components, NULL_DRAWS, rng)
        rows.append([made[name].z for name in SHAPES])
    sizes = np.array([len(directions) for directions in chosen], np.int64)
    return sizes, np.array(rows).reshape(-1, len(SHAPES))


def find(unit: NDArray[np.float32], settings: GeometrySettings) -> list[clusters.Cluster]:
    """Clusters of a dictionary under the settings."""
    return clusters.find(
        unit,
        settings.min_cluster,
        settings.max_cluster,
        settings.linkage_limit,
        settings.seed,
    )


def null_pool(unit: NDArray[np.float32], settings: GeometrySettings, ctx: Any) -> NullPool:
    """Clusters of all null dictionaries together: the null of clusters chosen by direction."""
    work = partial(null_dictionary, unit=unit, settings=settings)
    return _pool(work, True, settings, ctx)


def subset_pool(
    unit: NDArray[np.float32],
    found: list[clusters.Cluster],
    settings: GeometrySettings,
    ctx: Any,
) -> NullPool:
    """The null of clusters chosen by codes: the same sizes, directions that know nothing of codes.

    That choice never saw a direction, so under the null its members are a random subset; subsets
    of all sizes found stand together.
    """
    sizes = [len(cluster.members) for cluster in found]
    work = partial(null_subsets, unit=unit, sizes=sizes, settings=settings)
    return _pool(work, False, settings, ctx)


def _pool(work: Any, by_size: bool, settings: GeometrySettings, ctx: Any) -> NullPool:
    parts = list(ctx.block_map(work, range(settings.null_dictionaries), "null dictionaries"))
    z = np.concatenate([rows for _, rows in parts])
    return NullPool(
        np.concatenate([sizes for sizes, _ in parts]),
        {name: z[:, i] for i, name in enumerate(SHAPES)},
        len(z) / max(len(parts), 1),
        by_size,
    )


def take(
    unit: NDArray[np.float32],
    features: NDArray[np.int64],
    found: list[clusters.Cluster],
    pool: NullPool,
    settings: GeometrySettings,
    ctx: Any,
    source: str = "cosine",
    first: int = 0,
) -> pd.DataFrame:
    """The census table without the cloud columns; `features` names the rows of `unit`.

    Clusters are numbered from `first`; `source` says what they were chosen by.
    """
    work = partial(
        _cluster_rows, unit=unit, features=features, pool=pool, settings=settings, source=source
    )
    blocks = list(enumerate(found, start=first))
    rows = [row for part in ctx.block_map(work, blocks, "census") for row in part]
    return pd.DataFrame(rows, columns=COLUMNS).astype(TYPES)


TYPES = {
    **dict.fromkeys(("cluster", "size", "n_selected"), np.int32),
    **dict.fromkeys(("source", "test", "object", "null", "order", "best_model"), str),
    **dict.fromkeys(
        ("statistic", "null_mean", "null_sd", "z", "p", "p_selected", "closure"), np.float64
    ),
    **dict.fromkeys(("r2_circle", "r2_line", "r2_tree"), np.float64),
    "passes": bool,
}
COLUMNS = [
    *(
        "cluster",
        "source",
        "size",
        "test",
        "object",
        "statistic",
        "null_mean",
        "null_sd",
        "z",
        "null",
        "p",
    ),
    *("p_selected", "n_selected", "passes", "closure", "order", "best_model"),
    *("r2_circle", "r2_line", "r2_tree"),
]


def _cluster_rows(
    block: tuple[int, clusters.Cluster],
    unit: NDArray[np.float32],
    features: NDArray[np.int64],
    pool: NullPool,
    settings: GeometrySettings,
    source: str,
) -> list[dict[str, Any]]:
    number, cluster = block
    directions = unit[cluster.members]
    rng = np.random.default_rng([settings.seed, 3, number])
    made = outcomes(directions, settings.components, settings.draws, rng)
    points = nulls.principal(directions, settings.components)
    fitted = models.fits(points)
    rows = []
    for test, outcome in made.items():
        p, count = pool.p(len(directions), outcome.z, test)
        if not pool.by_size and SHAPES[test].null == "haar" and p * (1 + count) < 2:
            p = min(p, beyond(points, test, outcome.statistic, rng))
        order = SHAPES[test].order
        best = order(points) if order else None
        rows.append(
            {
                "cluster": number,
                "source": source,
                "size": len(directions),
                "test": test,
                "object": "directions",
                **outcome._asdict(),
                "null": SHAPES[test].null,
                "p_selected": p,
                "n_selected": count,
                "passes": max(p, outcome.p) <= settings.level,
                "closure": np.nan if best is None else models.closure(points, best),
                "order": ""
                if best is None
                else ",".join(str(f) for f in features[cluster.members[best]]),
                **{f"r2_{name}": value for name, value in fitted.items()},
            }
        )
    passing = {row["test"]: row["p_selected"] for row in rows if row["passes"]}
    return [{**row, "best_model": models.name(passing, fitted)} for row in rows]

"""What the census is taken of: groups of latents or kinds of tokens, and how they were chosen."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.cluster import SpectralClustering

from interpsweep.columns import OF_TOKENS
from interpsweep.config.analysis import GeometrySettings
from interpsweep.errors import UserError
from interpsweep.geometry import clusters, communities, firing_profiles, tegum, vocabulary
from interpsweep.geometry.vocabulary import Kinds
from interpsweep.numerics.twins import Twins
from interpsweep.saes.firing import Firing
from interpsweep.saes.joint import among, without_itself

Ints = NDArray[np.int64]
FACTOR = 3  # smallest tegum factor that is tested: a triangle


class Group(NamedTuple):
    """One cluster: the source that chose it, its latents as rows of the directions, the excess of
    mass in its dendrogram (NaN without one), and its kinds of tokens (empty unless the source is
    one of `OF_TOKENS`).
    """

    source: str
    members: Ints
    persistence: float
    kinds: Ints


def by_direction(
    source: str,
    unit: NDArray[np.float32],
    settings: GeometrySettings,
    resolution: float | None = None,
) -> list[Group]:
    """Clusters of unit directions (n, d) by one of `BY_DIRECTION`, at most `max_cluster` large.

    cosine: average linkage; leiden: communities of the graph of nearest directions, at a resolution
    that finds next to nothing in a dictionary with the same mean and covariance (`resolution` if
    that is known); spectral: spectral clustering of angular similarities 1 - angle / pi (Engels et
    al. 2024); tegum: factors, see `tegum.factors`.
    """
    if source == "cosine":
        return [Group(source, c.members, c.persistence, _NONE) for c in linked(unit, settings)]
    if source == "spectral":
        found = _spectral(unit, settings)
    elif source == "tegum":
        found = _factors(unit, settings)
    else:
        level = null_resolution(unit, len(unit), settings) if resolution is None else resolution
        found = _communities(unit, settings, level)
    return [Group(source, members, float("nan"), _NONE) for members in found]


def null_resolution(unit: NDArray[np.float32], count: int, settings: GeometrySettings) -> float:
    """The Leiden resolution for `count` directions with the mean and covariance of `unit`."""
    rng = np.random.default_rng([settings.seed, 9])
    null = Twins(unit).draw(count, rng).astype(np.float32)
    return communities.null_resolution(null, settings.neighbours, settings.min_cluster, rng)


def _communities(
    unit: NDArray[np.float32], settings: GeometrySettings, resolution: float
) -> list[Ints]:
    rng = np.random.default_rng([settings.seed, 13])
    graph = communities.neighbour_graph(unit, settings.neighbours)
    least, most = settings.min_cluster, settings.max_cluster
    return communities.communities(graph, resolution, least, most, rng)


def _factors(unit: NDArray[np.float32], settings: GeometrySettings) -> list[Ints]:
    rng = np.random.default_rng([settings.seed, 14])
    n, dim = unit.shape
    label = tegum.factors(unit, tegum.null_threshold(n, dim, tegum.FACTOR_QUANTILE, rng))
    found = [np.flatnonzero(label == number) for number in range(label.max() + 1)]
    return [g for g in found if FACTOR <= len(g) <= settings.max_cluster]


def _spectral(unit: NDArray[np.float32], settings: GeometrySettings) -> list[Ints]:
    if len(unit) > settings.linkage_limit:
        raise UserError(
            f"geometry.clusterings: spectral clustering of {len(unit)} directions would need their "
            f"full similarity matrix; geometry.linkage_limit is {settings.linkage_limit}: raise it "
            "or use leiden"
        )
    cosine = np.clip(unit.astype(np.float64) @ unit.T.astype(np.float64), -1, 1)
    label = SpectralClustering(
        min(settings.spectral_clusters, max(len(unit) // settings.min_cluster, 1)),
        affinity="precomputed",
        random_state=settings.seed,
    ).fit_predict(1 - np.arccos(cosine) / np.pi)
    groups = [np.flatnonzero(label == number) for number in range(label.max() + 1)]
    return [g for g in groups if settings.min_cluster <= len(g) <= settings.max_cluster]


def linked(rows: NDArray[np.float32], settings: GeometrySettings) -> list[clusters.Cluster]:
    """Average-linkage clusters of unit rows under the settings."""
    return clusters.find(
        rows,
        settings.min_cluster,
        settings.max_cluster,
        settings.linkage_limit,
        settings.seed,
    )


_NONE = np.zeros(0, np.int64)


def frequent(count: Ints, most: int) -> Ints:
    """Places of the `most` largest counts, ascending."""
    return np.sort(np.argsort(-count, kind="stable")[:most])


def by_together(
    codes: Any, alive: Ints, count: Ints, settings: GeometrySettings, ctx: Any
) -> list[Group]:
    """Clusters of latents that fire on the same tokens; the directions are not looked at.

    Leiden communities of the graphs of positive phi coefficients or Jaccard overlaps
    (`firing_clusterings`) of the most frequent latents, at most `linkage_limit`: inside one the
    mean exceeds `together`. `count` (a,) are the firings of the latents `alive` (a,).
    """
    if not settings.firing_clusterings:
        return []
    few = frequent(count, settings.linkage_limit)
    firing = Firing.above(codes, settings.firing_level)
    joint = among(firing, alive[few], ctx)
    made = []
    for source in settings.firing_clusterings:
        alike = without_itself(joint.phi() if source == "phi" else joint.jaccard())
        graph = communities.weighted(sp.csr_matrix(np.maximum(alike, 0.0)), np.ones(len(few)))
        least, most = settings.min_cluster, settings.max_cluster
        rng = np.random.default_rng([settings.seed, 15])
        found = communities.communities(graph, settings.together, least, most, rng)
        made += [Group(source, few[members], float("nan"), _NONE) for members in found]
    return made


def by_cofiring(
    codes: Any,
    context: NDArray[np.integer],
    alive: Ints,
    surroundings: Ints,
    settings: GeometrySettings,
    ctx: Any,
) -> list[Group]:
    """Clusters of latents by the surroundings they fire in; the directions are not looked at."""
    rows = firing_profiles.profiles(codes, context, alive, surroundings, settings.firing_level, ctx)
    return [Group("cofiring", c.members, c.persistence, _NONE) for c in linked(rows, settings)]


def by_tokens(kinds: Kinds, settings: GeometrySettings) -> list[Group]:
    """Clusters of kinds of tokens by the surroundings they stand in, with the latents that hold
    them; then the parts into which they fall: of all dates the weekdays, the months and the years.
    """
    if len(kinds.ids) < settings.min_cluster:
        return []
    found = linked(kinds.profiles, settings)
    within = [p for c in found for p in clusters.parts(kinds.profiles, c, settings.min_cluster)]
    return [
        Group(source, kinds.holders(c.members)[1], c.persistence, c.members)
        for source, chosen in zip(OF_TOKENS, (found, within), strict=True)
        for c in chosen
    ]


def of_codes(
    codes: Any,
    context: NDArray[np.integer],
    ids: NDArray[np.integer] | None,
    alive: Ints,
    count: Ints,
    settings: GeometrySettings,
    ctx: Any,
) -> tuple[list[Group], Kinds | None]:
    """Groups chosen by codes; `count` (a,) are the firings of the latents `alive` (a,).

    Without token ids there are no kinds of tokens.
    """
    surroundings = alive[frequent(count, settings.profile_latents)]
    found = by_cofiring(codes, context, alive, surroundings, settings, ctx)
    found += by_together(codes, alive, count, settings, ctx)
    if ids is None:
        return found, None
    seen = vocabulary.kinds(
        codes,
        context,
        ids,
        alive,
        surroundings,
        settings.firing_level,
        settings.min_kind,
        settings.kinds,
        ctx,
    )
    return found + by_tokens(seen, settings), seen

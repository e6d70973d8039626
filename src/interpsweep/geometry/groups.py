"""What the census is taken of: groups of latents or kinds of tokens, and how they were chosen."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from interpsweep.config.analysis import GeometrySettings
from interpsweep.geometry import clusters, cofiring, vocabulary
from interpsweep.geometry.vocabulary import Kinds

Ints = NDArray[np.int64]
BY_DIRECTION = ("cosine",)  # sources that saw the directions: their null repeats the search
SOURCES = (*BY_DIRECTION, "cofiring", "tokens")


class Group(NamedTuple):
    """One cluster: the source that chose it, its latents as rows of the directions, the excess of
    mass in its dendrogram, and its kinds of tokens (empty unless the source is "tokens").
    """

    source: str
    members: Ints
    persistence: float
    kinds: Ints

    @property
    def number_of_members(self) -> int:
        """Kinds of tokens, or latents."""
        return len(self.kinds) or len(self.members)


def by_direction(source: str, unit: NDArray[np.float32], settings: GeometrySettings) -> list[Group]:
    """Clusters of unit directions (n, d) by one of `BY_DIRECTION`."""
    assert source in BY_DIRECTION
    return [Group(source, c.members, c.persistence, _NONE) for c in linked(unit, settings)]


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


def by_cofiring(
    codes: Any,
    context: NDArray[np.integer],
    alive: Ints,
    surroundings: Ints,
    settings: GeometrySettings,
    ctx: Any,
) -> list[Group]:
    """Clusters of latents by the surroundings they fire in; the directions are not looked at."""
    rows = cofiring.profiles(codes, context, alive, surroundings, settings.firing_level, ctx)
    return [Group("cofiring", c.members, c.persistence, _NONE) for c in linked(rows, settings)]


def by_tokens(kinds: Kinds, settings: GeometrySettings) -> list[Group]:
    """Clusters of kinds of tokens by the surroundings they stand in, with the latents that hold
    them.
    """
    found = linked(kinds.profiles, settings) if len(kinds.ids) >= settings.min_cluster else []
    return [Group("tokens", kinds.holders(c.members)[1], c.persistence, c.members) for c in found]


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

"""Trees of features, objects of several attributes, and features that belong to nothing.

The absorption toys are after Chanin et al. (arXiv 2409.14507), the large tree with a Zipfian
distribution after SynthSAEBench (arXiv 2602.14687).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from interpsweep.config.worlds import CompositionWorld, TreeWorld
from interpsweep.worlds.planted import Drawn, World, gathered

RANK = 8  # of the correlation between the firings of roots and independent features


class Trees(World):
    """`TreeWorld`: features in the order of their levels, independent ones last."""

    settings: TreeWorld

    def __init__(self, settings: TreeWorld) -> None:
        super().__init__(settings)
        s = settings
        names, parent = [f"root{i}" for i in range(s.roots)], [-1] * s.roots
        first, self.levels = 0, [(0, s.roots)]
        for _ in range(s.depth):
            above = range(first, len(names))
            first = len(names)
            names += [f"{names[a]}.{c}" for a in above for c in range(s.branching)]
            parent += [a for a in above for _ in range(s.branching)]
            self.levels.append((first, len(names)))
        self.alone = len(names)
        names += [f"alone{i}" for i in range(s.independent)]
        self.plant(names, parent + [-1] * s.independent)

    @property
    def probability(self) -> NDArray[np.float64]:
        """Probability of firing of every feature (violations left out)."""
        s = self.settings
        found = np.empty(len(self.names))
        roots, others = np.arange(1, s.roots + 1), np.arange(1, s.independent + 1)
        found[: s.roots] = s.root_probability * roots**-s.zipf
        for first, last in self.levels[1:]:
            given = np.tile(s.child_probabilities, (last - first) // s.branching)
            found[first:last] = found[self.parent[first:last]] * given
        found[self.alone :] = s.independent_probability * others**-s.zipf
        return found

    def draw_with(self, rng: np.random.Generator, rows: int) -> Drawn:
        """See `World.draw_with`."""
        s, p = self.settings, self.probability
        top = np.concatenate([np.arange(s.roots), np.arange(self.alone, len(self.names))])
        row, column = np.nonzero(self._on(rng, rows, p[top]))
        row, feature = row.astype(np.int64), top[column]
        size = self._sizes(rng, np.ones(len(row)))
        parts = [(row, feature, size)]
        here = feature < s.roots
        above = row[here], feature[here], size[here]
        for first, last in self.levels[1:]:
            above = self._children(rng, rows, above, first, last, p)
            parts.append(above)
        return Drawn(gathered(parts, (rows, len(self.names))), {})

    def _on(self, rng: np.random.Generator, rows: int, p: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which of the features with probabilities `p` (m,) fire: (rows, m)."""
        scale = self.settings.correlation
        if not scale:
            return rng.random((rows, len(p)), dtype=np.float32) < p
        factors = np.random.default_rng([self.settings.seed, 3]).standard_normal((len(p), RANK))
        factors *= scale / np.linalg.norm(factors, axis=1, keepdims=True)
        shared = rng.standard_normal((rows, RANK)) @ factors.T
        own = rng.standard_normal((rows, len(p))) * np.sqrt(1 - scale**2)
        return shared + own < ndtri(np.minimum(p, 1 - 1e-12))

    def _sizes(self, rng: np.random.Generator, base: NDArray[np.float64]) -> NDArray[np.float64]:
        s = self.settings
        if not s.magnitude_noise:
            return base
        return base * np.maximum(0, 1 + s.magnitude_noise * rng.standard_normal(len(base)))

    def _children(
        self,
        rng: np.random.Generator,
        rows: int,
        above: tuple[NDArray, NDArray, NDArray],
        first: int,
        last: int,
        p: NDArray[np.float64],
    ) -> tuple[NDArray, NDArray, NDArray]:
        """Rows, features first .. last and sizes of the children of what fires `above` them."""
        s = self.settings
        row, parent, size = above
        begins = first + (parent - self.parent[first]) * s.branching
        if s.exclusive:
            drawn = np.searchsorted(np.cumsum(s.child_probabilities), rng.random(len(row)), "right")
            which, child = np.flatnonzero(drawn < s.branching), drawn[drawn < s.branching]
        else:
            which, child = np.nonzero(rng.random((len(row), s.branching)) < s.child_probabilities)
        row, feature = row[which], begins[which] + child
        moment = size[which] if s.scale_children else np.ones(len(which))
        if s.violations:
            rate = s.violations * p[first:last] / (1 - p[self.parent[first:last]])
            stray = rng.random((rows, last - first), dtype=np.float32) < rate
            with_parent = parent - self.parent[first]
            stray.reshape(rows, -1, s.branching)[above[0], with_parent] = False
            more_rows, more = np.nonzero(stray)
            row, feature = np.concatenate([row, more_rows]), np.concatenate([feature, first + more])
            moment = np.concatenate([moment, np.ones(len(more))])
        return row, feature, self._sizes(rng, s.child_magnitude * moment)


class Composition(World):
    """`CompositionWorld`: values of the attributes in their order, independent features last."""

    settings: CompositionWorld

    def __init__(self, settings: CompositionWorld) -> None:
        super().__init__(settings)
        letters = "abcdefghijklmnopqrstuvwxyz"
        names = [f"{letters[i]}{v}" for i, n in enumerate(settings.attributes) for v in range(n)]
        names += [f"alone{i}" for i in range(settings.independent)]
        self.plant(names, [-1] * len(names))

    def draw_with(self, rng: np.random.Generator, rows: int) -> Drawn:
        """See `World.draw_with`."""
        s = self.settings
        objects, parts, first = np.flatnonzero(rng.random(rows) < s.object_probability), [], 0
        for n in s.attributes:
            value = rng.integers(n, size=len(objects))
            parts.append((objects, first + value, np.ones(len(objects))))
            first += n
        row, feature = np.nonzero(rng.random((rows, s.independent)) < s.independent_probability)
        parts.append((row, first + feature, np.ones(len(row))))
        return Drawn(gathered(parts, (rows, len(self.names))), {})

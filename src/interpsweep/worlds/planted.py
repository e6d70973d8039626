"""Worlds of sparse features on planted directions: x = sum_j a_j f_j.

`World.draw` is a pure function of (settings, seed, block): rows do not depend on how many are drawn
at once, nor by whom.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from interpsweep.config.worlds import World as Settings
from interpsweep.vectors import unit_length

BLOCK = 8192  # rows drawn from one generator; part of a world's definition
NOTHING = "·"  # the token of a row on which no feature is active


class Drawn(NamedTuple):
    """Rows of a world."""

    codes: csr_matrix  # float32 (rows, features): magnitudes of the planted features
    labels: dict[str, NDArray[np.int16]]  # concept -> value per row, -1 = none


class World(ABC):
    """One world: `names` of features, `parent` int32 (-1 = none), `directions` (features, d).

    A subclass calls `plant` and draws codes; one with labelled concepts overrides `concepts`.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.names: list[str] = []
        self.parent = np.zeros(0, np.int32)
        self.directions = np.zeros((0, settings.d), np.float32)

    @abstractmethod
    def draw_with(self, rng: np.random.Generator, rows: int) -> Drawn:
        """The next rows of a generator."""

    @property
    def concepts(self) -> dict[str, dict]:
        """Labelled concepts as `corpus.json` holds them."""
        return {}

    def plant(self, names: list[str], parent: list[int]) -> None:
        """Give features their names, parents and directions: orthonormal if there is room."""
        n, d = len(names), self.settings.d
        normal = np.random.default_rng([self.settings.seed, 0]).standard_normal((max(n, d), d))
        rows = np.linalg.qr(normal)[0] if n <= d else normal
        self.names, self.parent = names, np.array(parent, np.int32)
        self.directions = unit_length(rows[:n]).astype(np.float32)

    @property
    def depth(self) -> NDArray[np.int32]:
        """Number of ancestors of every feature."""
        depth = np.zeros(len(self.parent), np.int32)
        for i, above in enumerate(self.parent):  # parents come before their children
            depth[i] = 0 if above < 0 else depth[above] + 1
        return depth

    def draw(self, block: int, seed: int) -> Drawn:
        """Rows block * BLOCK .. (block + 1) * BLOCK of the endless stream of `seed`."""
        return self.draw_with(np.random.default_rng([self.settings.seed, 1, seed, block]), BLOCK)

    @property
    def vocabulary(self) -> list[str]:
        """The token of a row names its most special active feature."""
        return [f" {name}" for name in (NOTHING, *self.names)]

    def tokens(self, codes: csr_matrix) -> NDArray[np.int32]:
        """Token of every row: the active feature with most ancestors, the last one of equals."""
        order = np.lexsort((np.arange(len(self.names)), self.depth))
        rank = np.empty(len(order), np.int64)
        rank[order] = np.arange(1, len(order) + 1)
        ranked = csr_matrix((rank[codes.indices], codes.indices, codes.indptr), codes.shape)
        best = np.asarray(ranked.max(axis=1).todense()).ravel()
        return np.concatenate([[0], order + 1]).astype(np.int32)[best]


def gathered(parts: list[tuple[NDArray, NDArray, NDArray]], shape: tuple[int, int]) -> csr_matrix:
    """Codes from (rows, features, magnitudes); features of a row ascend, zeros are dropped."""
    rows, features, sizes = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    codes = csr_matrix((sizes.astype(np.float32), (rows, features)), shape=shape)
    codes.eliminate_zeros()
    codes.sort_indices()
    return codes


def rotation(seed: int, layer: int, d: int) -> NDArray[np.float32] | None:
    """How a layer above the first sees a world: Haar-random (d, d); None for the first."""
    if layer <= 0:
        return None
    q, r = np.linalg.qr(np.random.default_rng([seed, 2, layer]).standard_normal((d, d)))
    return (q * np.sign(np.diag(r))).astype(np.float32)

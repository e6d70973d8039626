"""Activation clouds: the tokens of a cluster, rebuilt from its own latents alone.

Separability S and mixture M of the cloud's first principal plane follow Engels et al. ("Not all
language model features are linear"), evaluated exactly on a grid of angles. On its own S (1 - M)
mostly measures how exclusive the latents are, so it is always set beside the same codes on random
directions (null N0).
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from interpsweep.compiled import compiled
from interpsweep.geometry import homology
from interpsweep.geometry.nulls import random_directions, upper_p

ANGLES, BINS, OFFSETS, EPSILON = 40, 10, 50, 0.1
LEAST = 50  # tokens below which nothing is said of a plane
POINTS, DRAWS = 2000, 19  # most tokens of a cloud; random decoders beside it
Array = NDArray[np.float64]


class Cloud(NamedTuple):
    """Tokens on which a cluster fires: row numbers (m,) within the codes, and codes (m, k)."""

    rows: NDArray[np.int64]
    codes: NDArray[np.float32]


class CloudShape(NamedTuple):
    """What the cloud says; columns of the census."""

    cloud_rows: int
    separability: float
    mixture: float
    separability_null: float
    p_cloud: float
    dimension: float  # by two nearest neighbours
    loop: float  # largest death / birth in dimension one
    p_loop: float
    loop_power: str


def collect(
    codes: Any,
    wanted: list[tuple[NDArray[np.int64], NDArray[np.int64] | None]],
    most: int,
    seed: int,
    ctx: Any,
) -> list[Cloud]:
    """Clouds of several (latents, rows) in one pass; at most `most` tokens each, evenly drawn.

    Without rows, those on which one of the latents is active.
    """
    latents = [group for group, _ in wanted]
    every = np.unique(np.concatenate(latents)) if latents else np.zeros(0, np.int64)
    work = partial(_columns, codes=codes, wanted=every)
    parts = list(ctx.block_map(work, list(codes.chunks()), "clouds")) if len(every) else []
    together = sp.vstack(parts).tocsc() if parts else sp.csc_matrix((codes.n_rows, 0))
    clouds = []
    for number, (group, given) in enumerate(wanted):
        mine = together[:, np.searchsorted(every, group)].tocsr()
        rows = np.flatnonzero(np.diff(mine.indptr)) if given is None else given
        if len(rows) > most:
            rng = np.random.default_rng([seed, 4, number])
            rows = np.sort(rng.choice(rows, most, replace=False))
        clouds.append(Cloud(rows, mine[rows].toarray()))
    return clouds


def _columns(chunk: tuple[int, int], codes: Any, wanted: NDArray[np.int64]) -> sp.csr_matrix:
    block = sp.csr_matrix(codes.read(*chunk))
    block.eliminate_zeros()
    return block[:, wanted]


def measure(
    cloud: Cloud, directions: NDArray[np.float32], draws: int, seed: int
) -> tuple[CloudShape, homology.Loops]:
    """Engels et al.'s scores beside random directions for the same codes, and what the points are:
    of which dimension, and whether round a loop.
    """
    points = coordinates(cloud.codes, directions.astype(np.float64))
    found = homology.loops(points)
    scores = (np.nan, np.nan, np.nan, np.nan)
    if len(cloud.rows) >= LEAST:
        scores = _against_random(cloud.codes, directions, draws, np.random.default_rng([seed, 5]))
    shape = CloudShape(
        cloud_rows=len(cloud.rows),
        separability=scores[0],
        mixture=scores[1],
        separability_null=scores[2],
        p_cloud=scores[3],
        dimension=homology.two_nn(points),
        loop=found.longest,
        p_loop=found.p,
        loop_power=found.power,
    )
    return shape, found


def _against_random(
    codes: NDArray[np.float32],
    directions: NDArray[np.float32],
    draws: int,
    rng: np.random.Generator,
) -> tuple[float, float, float, float]:
    """Separability, mixture, mean separability on random directions, and p of S (1 - M)."""
    plane = first_plane(codes, directions.astype(np.float64))
    # what S is without any dependence at this number of points; the same for the random directions
    bias = separability(np.column_stack([plane[:, 0], rng.permutation(plane[:, 1])]))
    own, mixed = separability(plane) - bias, mixture(plane)
    null = []
    for scattered in random_directions(len(directions), directions.shape[1], draws, rng):
        drawn = first_plane(codes, scattered)
        null.append((separability(drawn) - bias, mixture(drawn)))
    apart, blended = np.array(null).T
    p = upper_p((1 - mixed) * own, (1 - blended) * apart)
    return own, mixed, float(apart.mean()), p


def coordinates(codes: NDArray[np.float32], directions: Array) -> Array:
    """The cloud (m, r) in an orthonormal basis of its directions, from its codes (m, k)."""
    return np.asarray(codes.astype(np.float64) @ np.linalg.qr(directions.T)[1].T)


def first_plane(codes: NDArray[np.float32], directions: Array) -> Array:
    """The cloud's two leading principal coordinates, (m, 2), from its codes (m, k)."""
    points = coordinates(codes, directions)
    points = points - points.mean(axis=0)
    _, vectors = np.linalg.eigh(points.T @ points)
    return points @ vectors[:, :-3:-1] if points.shape[1] > 1 else np.c_[points, 0 * points]


def separability(plane: Array) -> float:
    """min over rotations of the mutual information (bits) of the two coordinates, 10 x 10 bins."""
    angle = np.arange(ANGLES) * np.pi / 2 / ANGLES
    return float(_least_information(np.ascontiguousarray(plane), np.cos(angle), np.sin(angle)))


@compiled
def _least_information(plane: Array, cosine: Array, sine: Array) -> float:
    """Mutual information of the coordinates, cut into BINS equal bins between their least and
    largest value, at the angle where it is least.
    """
    n = len(plane)
    turned, cell = np.empty((2, n)), np.empty((2, n), np.int64)
    least = np.inf
    for a in range(len(cosine)):
        for i in range(n):
            turned[0, i] = cosine[a] * plane[i, 0] + sine[a] * plane[i, 1]
            turned[1, i] = cosine[a] * plane[i, 1] - sine[a] * plane[i, 0]
        for axis in range(2):
            low = turned[axis].min()
            scale = BINS / max(turned[axis].max() - low, 1e-300)
            for i in range(n):
                cell[axis, i] = min(int((turned[axis, i] - low) * scale), BINS - 1)
        joint = np.zeros((BINS, BINS))
        for i in range(n):
            joint[cell[0, i], cell[1, i]] += 1.0 / n
        first, second = joint.sum(axis=1), joint.sum(axis=0)
        information = 0.0
        for x in range(BINS):
            for y in range(BINS):
                if joint[x, y] > 0:
                    information += joint[x, y] * np.log2(joint[x, y] / (first[x] * second[y]))
        least = min(least, information)
    return least


def mixture(plane: Array) -> float:
    """max over directions v and offsets c of P(|z| < .1), z = (v.f + c) / sqrt(E[(v.f + c)^2])."""
    best = 0.0
    levels = (np.arange(OFFSETS) + 0.5) / OFFSETS
    for angle in np.arange(ANGLES) * np.pi / ANGLES:
        along = np.sort(plane @ np.array([np.cos(angle), np.sin(angle)]))
        offset = along[(levels * len(along)).astype(int)]
        reach = EPSILON * np.sqrt(along.var() + (along.mean() - offset) ** 2)
        inside = np.searchsorted(along, offset + reach) - np.searchsorted(
            along, offset - reach, side="right"
        )
        best = max(best, float(inside.max()) / len(along))
    return best

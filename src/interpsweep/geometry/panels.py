"""Panels: the clearest clusters as 2-D pictures of directions and of tokens, with their labels."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from interpsweep.geometry import nulls
from interpsweep.geometry.cloud import Cloud
from interpsweep.geometry.shapes import SHAPES
from interpsweep.geometry.shapes.circle import best_plane
from interpsweep.geometry.tokens import Tokens

BEFORE, AFTER = 8, 2  # tokens of context shown around a point
DOMINANT = 0.4  # share of a cluster's activation that a concept must label

COLUMNS = {
    "cluster": np.int32,
    "panel": np.int32,
    "test": str,
    "kind": str,
    "x": np.float32,
    "y": np.float32,
    "order": np.int32,
    "feature": np.int32,
    "activation": np.float32,
    "angle": np.float32,
    "row": np.int64,
    "token": str,
    "text": str,
    "concept": str,
    "value": np.int32,
    "label": str,
}


class Labels(NamedTuple):
    """The concept that labels most of a cluster's tokens: its name, values, and label per token."""

    concept: str
    values: list[str]
    label: NDArray[np.int16]  # of every token of the cloud, -1 = none


class Scene(NamedTuple):
    """One group to be drawn: the test and object in which it is clearest, and what is drawn."""

    cluster: int
    test: str
    object: str  # "directions" or "token means"
    points: NDArray[np.floating]  # (k, d)
    names: NDArray[np.int64]  # (k,) latents or token ids
    latents: NDArray[np.int64]  # (c,) whose activations are the cloud, as rows of the directions
    rows: NDArray[np.int64] | None  # rows the cloud is taken from (None: wherever a latent fires)


def clearest(census: pd.DataFrame, most: int) -> list[tuple[int, str, str]]:
    """(cluster, test, object) of the clusters with smallest p_selected, ties by z; named shapes
    first.
    """
    shaped = census[(census["test"] != "simplex") & census["p"].notna()]
    unnamed = shaped["best_model"].ne(shaped["test"])
    ranked = shaped.assign(unnamed=unnamed).sort_values(
        ["unnamed", "p_selected", "z", "cluster"], ascending=[True, True, False, True]
    )
    best = ranked.drop_duplicates("cluster").head(most)
    return list(best[["cluster", "test", "object"]].itertuples(index=False, name=None))


def dominant(rows: NDArray[np.int64], weight: NDArray[np.floating], tokens: Tokens) -> Labels:
    """The concept that labels most of the activation here; among equals the one with most values.

    None if it labels less than `DOMINANT` of it. Weights are activations, because latents fire
    faintly on many tokens that they do not stand for.
    """
    best = Labels("", [], np.full(len(rows), -1, np.int16))
    key = (DOMINANT, 0)
    for name, concept in tokens.concepts.items():
        label = tokens.label(name, rows)
        mine = (float(weight[label >= 0].sum() / weight.sum()), len(concept["values"]))
        if mine > key:
            best, key = Labels(name, list(concept["values"]), label), mine
    return best


def panel(
    number: int,
    scene: Scene,
    unit: NDArray[np.float32],
    features: NDArray[np.int64],
    cloud: Cloud,
    angle: NDArray[np.float64],
    tokens: Tokens,
) -> pd.DataFrame:
    """One panel: a group's points in the plane of their clearest shape, tokens projected on it.

    `unit` (n, d) and `features` (n,) are all directions and the latents that they belong to,
    `angle` (m,) the circular coordinates of the cloud's tokens.
    """
    points = nulls.principal(scene.points, min(8, len(scene.points) - 1))
    centred = scene.points.astype(np.float64) - scene.points.mean(axis=0)
    *_, axes = np.linalg.svd(centred, full_matrices=False)
    i, j = best_plane(points) if scene.test == "circle" and points.shape[1] > 1 else (0, 1)
    plane = axes[[i, j]]
    labels = dominant(cloud.rows, cloud.codes.max(axis=1), tokens)
    order = SHAPES[scene.test].order
    place = np.full(len(points), -1)
    if order is not None:
        place[order(points)] = np.arange(len(points))
    drawn = _points(scene, cloud, labels, tokens)
    drawn = drawn.assign(x=centred @ plane[0], y=centred @ plane[1], order=place, row=-1, text="")
    dots = _dots(scene, unit, features, plane, cloud, labels, tokens)
    both = pd.concat([drawn.assign(angle=np.nan), dots.assign(angle=angle)], ignore_index=True)
    both = both.assign(cluster=scene.cluster, panel=number, test=scene.test, concept=labels.concept)
    return both[list(COLUMNS)].astype(COLUMNS)


def _points(scene: Scene, cloud: Cloud, labels: Labels, tokens: Tokens) -> pd.DataFrame:
    """The group's points by name: directions by the value they fire most for, kinds by theirs."""
    known = labels.label >= 0
    if scene.object == "directions":
        prefers = [
            _preferred(cloud.codes[known, k], labels.label[known]) for k in range(len(scene.names))
        ]
        features, words = scene.names, [""] * len(scene.names)
    else:
        ids = tokens.ids(cloud.rows)
        prefers = [
            _preferred(known[mine] * 1.0, np.maximum(labels.label[mine], 0))
            for mine in (ids == name for name in scene.names)
        ]
        features, words = np.full(len(scene.names), -1), tokens.words(scene.names)
    return pd.DataFrame(
        {
            "kind": "direction" if scene.object == "directions" else "token mean",
            "feature": features,
            "activation": np.nan,
            "token": words,
            "value": prefers,
            "label": [labels.values[v] if v >= 0 else "" for v in prefers],
        }
    )


def _dots(
    scene: Scene,
    unit: NDArray[np.float32],
    features: NDArray[np.int64],
    plane: NDArray[np.float64],
    cloud: Cloud,
    labels: Labels,
    tokens: Tokens,
) -> pd.DataFrame:
    """The tokens of the cloud on the panel's plane, centred if the points are token means."""
    shown = cloud.codes.astype(np.float64) @ (unit[scene.latents] @ plane.T)
    if scene.object != "directions":
        shown -= shown.mean(axis=0)
    strongest = cloud.codes.argmax(axis=1)
    return pd.DataFrame(
        {
            "kind": "cloud",
            "x": shown[:, 0],
            "y": shown[:, 1],
            "order": -1,
            "feature": features[scene.latents[strongest]],
            "activation": cloud.codes.max(axis=1),
            "row": cloud.rows,
            "token": [tokens.word(row) for row in cloud.rows],
            "text": [tokens.window(row, BEFORE, AFTER) for row in cloud.rows],
            "value": labels.label,
            "label": [labels.values[v] if v >= 0 else "" for v in labels.label],
        }
    )


def _preferred(activation: NDArray[np.floating], label: NDArray[np.int16]) -> int:
    """The value for which a latent's activations sum to most, or -1."""
    if not activation.any():
        return -1
    return int(np.argmax(np.bincount(label, activation)))

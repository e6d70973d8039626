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


def clearest(census: pd.DataFrame, most: int) -> list[tuple[int, str]]:
    """(cluster, test) of the clusters with smallest p_selected, ties by z; named shapes first."""
    shaped = census[census["test"] != "simplex"]
    unnamed = shaped["best_model"].ne(shaped["test"])
    ranked = shaped.assign(unnamed=unnamed).sort_values(
        ["unnamed", "p_selected", "z", "cluster"], ascending=[True, True, False, True]
    )
    best = ranked.drop_duplicates("cluster").head(most)
    return list(zip(best["cluster"].tolist(), best["test"].tolist(), strict=True))


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
    cluster: int,
    test: str,
    directions: NDArray[np.float32],
    features: NDArray[np.int64],
    cloud: Cloud,
    tokens: Tokens,
) -> pd.DataFrame:
    """One panel: directions in the plane of their clearest shape, tokens projected on it."""
    centred = directions.astype(np.float64) - directions.mean(axis=0)
    *_, axes = np.linalg.svd(centred, full_matrices=False)
    points = nulls.principal(directions, min(8, len(directions) - 1))
    i, j = best_plane(points) if test == "circle" and points.shape[1] > 1 else (0, 1)
    plane = axes[[i, j]]
    labels = dominant(cloud.rows, cloud.codes.max(axis=1), tokens)
    order = SHAPES[test].order
    place = np.full(len(features), -1)
    if order is not None:
        place[order(points)] = np.arange(len(features))
    shown = cloud.codes.astype(np.float64) @ (directions @ plane.T)
    strongest = cloud.codes.argmax(axis=1)
    known = labels.label >= 0
    preferred = [
        _preferred(cloud.codes[known, k], labels.label[known]) for k in range(len(features))
    ]
    named = [labels.values[v] if v >= 0 else "" for v in labels.label]
    arrows = pd.DataFrame(
        {
            "kind": "direction",
            "x": centred @ plane[0],
            "y": centred @ plane[1],
            "order": place,
            "feature": features,
            "activation": np.nan,
            "row": -1,
            "token": "",
            "text": "",
            "value": preferred,
            "label": [labels.values[v] if v >= 0 else "" for v in preferred],
        }
    )
    dots = pd.DataFrame(
        {
            "kind": "cloud",
            "x": shown[:, 0],
            "y": shown[:, 1],
            "order": -1,
            "feature": features[strongest],
            "activation": cloud.codes.max(axis=1),
            "row": cloud.rows,
            "token": [tokens.word(row) for row in cloud.rows],
            "text": [tokens.window(row, BEFORE, AFTER) for row in cloud.rows],
            "value": labels.label,
            "label": named,
        }
    )
    both = pd.concat([arrows, dots], ignore_index=True)
    both = both.assign(cluster=cluster, panel=number, test=test, concept=labels.concept)
    return both[list(COLUMNS)].astype(COLUMNS)


def _preferred(activation: NDArray[np.float32], label: NDArray[np.int16]) -> int:
    """The value for which a latent's activations sum to most, or -1."""
    if not activation.any():
        return -1
    return int(np.argmax(np.bincount(label, activation)))

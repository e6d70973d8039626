"""Geometry of the families of trees, step by step in width."""

from __future__ import annotations

from typing import Any

import pandas as pd

from interpsweep.claims import dendrograms, parallelograms, siblings
from interpsweep.claims.sources import Source
from interpsweep.config.analysis import ClaimsSettings
from interpsweep.tables import typed


def tables(
    trees: list[Source], saes: list[Source], settings: ClaimsSettings
) -> dict[str, pd.DataFrame]:
    """`dendrograms` and `parallelograms` of all trees, one row per step; see docs/tables.md."""
    joined: list[dict[str, Any]] = []
    analogous: list[dict[str, Any]] = []
    for step in siblings.read(trees, saes):
        joined.append(step.at | dendrograms.measure(step, settings))
        analogous.append(step.at | parallelograms.measure(step, settings))
    return {
        "dendrograms": typed(joined, dendrograms.COLUMNS),
        "parallelograms": typed(analogous, parallelograms.COLUMNS),
    }

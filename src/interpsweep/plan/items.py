"""The items of a sweep: each one's spec (what determines it) and coordinates (where it belongs)."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from interpsweep.spec import Spec, identified
from interpsweep.stages import STAGES
from interpsweep.store.layout import place

Coordinates = dict[str, Any]

# a family is one of these over all widths
FAMILY = ("model", "site", "architecture", "sparsity", "seed")


@dataclass(frozen=True)
class PlannedItem:
    """One artifact of the sweep."""

    digest: str
    spec: Spec
    at: Coordinates

    @property
    def stage(self) -> str:
        """The stage that makes it."""
        return self.spec["stage"]

    @cached_property
    def place(self) -> str:
        """Its folder below the root of a store."""
        return place(self.spec, self.digest)

    @cached_property
    def order(self) -> tuple:
        """Sorts items by their coordinates."""
        return _order(self)


@dataclass
class Items:
    """All items of a sweep, by digest, in the order they were planned."""

    by_digest: dict[str, PlannedItem] = field(default_factory=dict)
    _buckets: dict[tuple, list[PlannedItem]] = field(default_factory=dict)
    _everywhere: dict[str, list[PlannedItem]] = field(default_factory=dict)

    def add(
        self, stage: str, settings: dict[str, Any], inputs: dict[str, Any], at: Coordinates
    ) -> str:
        """Plan an item; return its digest.

        The same spec twice is one item: two models can share SAEs that differ in the rest. It has
        the coordinates of the first, and is found at the place of the other as well.
        """
        spec, name = identified(
            {
                "stage": stage,
                "version": STAGES[stage].version,
                "settings": settings,
                "inputs": inputs,
            }
        )
        item = PlannedItem(name, spec, {"stage": stage, **at})
        known = self.by_digest.setdefault(name, item)
        if known is item:
            self._buckets.setdefault((stage,), []).append(item)
        model = at.get("model")
        if known is item or known.at.get("model") != model:
            for bucket in ((stage, model), (stage, model, at.get("site"))):
                self._buckets.setdefault(bucket, []).append(item)
            self._everywhere.setdefault(stage, []).append(item)
        return name

    def everywhere(self, stage: str) -> list[PlannedItem]:
        """Items of a stage in canonical order; one that models share once at each of its places."""
        return sorted(self._everywhere.get(stage, []), key=lambda item: item.order)

    def of(self, *stages: str, **at: Any) -> list[PlannedItem]:
        """Items of some stages whose coordinates have the given values, in canonical order."""
        found = []
        for stage in stages:
            bucket: tuple = (stage,)
            if "model" in at:
                bucket += (at["model"], at["site"]) if "site" in at else (at["model"],)
            found += [
                item
                for item in self._buckets.get(bucket, [])
                if all(item.at.get(key) == value for key, value in at.items())
            ]
        return sorted(found, key=lambda item: item.order)


def _order(item: PlannedItem) -> tuple:
    """A total order by coordinates, so that reordering an axis changes no list of inputs."""
    keys = ("model", "layer", "site", "architecture", "sparsity", "d_sae", "seed", "direction")
    numeric = ("layer", "sparsity", "d_sae", "seed")
    values = [item.at.get(key) for key in keys]
    return (
        item.stage,
        *(
            (0, float(v), "") if k in numeric and v is not None else (1, 0.0, str(v))
            for k, v in zip(keys, values, strict=True)
        ),
        item.digest,
    )

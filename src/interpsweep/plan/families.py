"""Pairs of dictionaries to match, and the families whose trees are grown from them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any

from interpsweep.config.sweep import Overridable
from interpsweep.models.sites import site_kind
from interpsweep.plan.items import FAMILY, Coordinates, Items, PlannedItem
from interpsweep.plan.saes import SAES


def width_and_seed_matches(items: Items, sections: Overridable, at: Coordinates) -> None:
    """Plan the pairs next to each other in width and in seed at one site."""
    saes = items.of(*SAES, **at)
    codes = _codes_of(items, **at)
    if "width" in sections.match.directions:
        same = ("architecture", "sparsity", "seed")
        for narrow, wide in _neighbours(saes, same, "d_sae"):
            _match(items, sections, "width", (narrow, wide), codes, at)
    if "seed" in sections.match.directions:
        same = ("architecture", "sparsity", "d_sae")
        for first, second in _neighbours(saes, same, "seed"):
            _match(items, sections, "seed", (first, second), codes, at)


def layer_matches(items: Items, sections: Overridable, model: str) -> None:
    """Plan the pairs of neighbouring layers of one model, at hooks of the same kind."""
    if "layer" not in sections.match.directions:
        return
    saes = items.of(*SAES, model=model)
    codes = _codes_of(items, model=model)
    for kind in sorted({site_kind(sae.at["site"]) for sae in saes}):
        alike = [sae for sae in saes if site_kind(sae.at["site"]) == kind]
        same = ("architecture", "sparsity", "d_sae", "seed")
        for pair in _neighbours(alike, same, "layer"):
            _match(items, sections, "layer", pair, codes, {"model": model})


def _neighbours(
    saes: list[PlannedItem], same: tuple[str, ...], along: str
) -> Iterator[tuple[PlannedItem, PlannedItem]]:
    """Pairs next to each other along one axis, all of `same` being equal."""
    for group in _groups(saes, same):
        yield from pairwise(sorted(group, key=lambda item: item.at[along]))


def _groups(saes: Iterable[PlannedItem], same: tuple[str, ...]) -> list[list[PlannedItem]]:
    groups: dict[tuple, list[PlannedItem]] = {}
    for sae in saes:
        groups.setdefault(tuple(sae.at[key] for key in same), []).append(sae)
    return list(groups.values())


def _codes_of(items: Items, **at: Any) -> dict[str, str]:
    """The digest of an SAE -> the digest of its codes."""
    return {item.spec["inputs"]["sae"]: item.digest for item in items.of("encode", **at)}


def _match(
    items: Items,
    sections: Overridable,
    direction: str,
    pair: tuple[PlannedItem, PlannedItem],
    codes: dict[str, str],
    at: Coordinates,
) -> None:
    a, b = pair
    inputs = {
        "a": a.digest,
        "b": b.digest,
        "codes_a": codes[a.digest],
        "codes_b": codes[b.digest],
        "activations": space_of(a),
        "corpus": a.spec["inputs"]["corpus"],
    }
    settings = {**sections.match.identity(), "direction": direction}
    items.add("match", settings, inputs, {**at, "direction": direction, "a": a.at, "b": b.at})


def trees(items: Items, sections: Overridable, at: Coordinates) -> None:
    """Plan the tree of every family at one site whose widths are all matched."""
    saes = items.of(*SAES, **at)
    codes = _codes_of(items, **at)
    matches = {
        (item.spec["inputs"]["a"], item.spec["inputs"]["b"]): item.digest
        for item in items.of("match", direction="width", **at)
    }
    for family in _groups(saes, FAMILY):
        ladder = sorted(family, key=lambda item: item.at["d_sae"])
        steps = [matches.get((a.digest, b.digest)) for a, b in pairwise(ladder)]
        if not steps or None in steps:
            continue  # one width, or width matching switched off: no tree
        items.add(
            "tree",
            sections.tree.identity(),
            {
                "saes": [item.digest for item in ladder],
                "codes": [codes[item.digest] for item in ladder],
                "matches": steps,
                "activations": space_of(ladder[0]),
            },
            {key: ladder[0].at[key] for key in (*FAMILY, "layer")},
        )


def space_of(sae: PlannedItem) -> str:
    """The activations that decoder rows live among: those that a transcoder predicts."""
    inputs = sae.spec["inputs"]
    return inputs.get("targets", inputs["activations"])

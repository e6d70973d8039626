"""Families of SAEs: pairs of dictionaries to match, the trees that are grown from them, and what
is made once of each.

A family's tree has no ``direction``; the tree between two seeds of one width, which says what the
edges of a step in width are worth, has ``seed``, and that of the nested levels of one Matryoshka
SAE has ``levels``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import combinations, pairwise
from typing import Any

from interpsweep.config.saes import nested_widths
from interpsweep.config.sites import site_kind
from interpsweep.config.sweep import Overridable
from interpsweep.plan.items import FAMILY, Coordinates, Items, PlannedItem
from interpsweep.plan.saes import SAES
from interpsweep.stages import STAGES
from interpsweep.stages.record import Place, space_of


def width_and_seed_matches(items: Items, sections: Overridable, at: Coordinates) -> None:
    """Plan the pairs next to each other in width and in seed at one site."""
    saes = items.of(*SAES, **at)
    codes = _codes_of(items, **at)
    if "width" in sections.match.directions:
        for ladder in _ladders(saes):
            for skipped in range(sections.match.skip_levels + 1):
                for pair in zip(ladder, ladder[skipped + 1 :], strict=False):
                    _match(items, sections, "skip" if skipped else "width", pair, codes, at)
    if "seed" in sections.match.directions:
        same = ("architecture", "sparsity", "d_sae")
        for first, second in _neighbours(saes, same, "seed"):
            _match(items, sections, "seed", (first, second), codes, at)
    if "levels" in sections.match.directions:
        for sae in saes:
            for ends in pairwise(levels_of(sae)):
                _match(items, sections, "levels", (sae, sae), codes, at, {"leading": list(ends)})


def levels_of(sae: PlannedItem) -> list[int]:
    """Numbers of leading latents that reconstruct by themselves, of a Matryoshka SAE trained here;
    none of others.
    """
    settings = sae.spec["settings"]
    if sae.stage != "train" or settings["architecture"] != "matryoshka":
        return []
    return nested_widths(settings["matryoshka_levels"], settings["d_sae"])


def layer_matches(items: Items, sections: Overridable, model: str) -> None:
    """Plan the pairs of neighbouring layers of one model, at hooks of the same kind."""
    if "layer" not in sections.match.directions:
        return
    saes = items.of(*SAES, model=model)
    codes = _codes_of(items, model=model)
    for kind in sorted({site_kind(sae.at["site"]) for sae in saes}):
        alike = [sae for sae in saes if site_kind(sae.at["site"]) == kind]
        same = ("architecture", "sparsity", "d_sae", "seed")
        for a, b in _neighbours(alike, same, "layer"):
            match = _match(items, sections, "layer", (a, b), codes, {"model": model})
            where = [max(a.at[key], 0) for key in ("layer", "d_sae", "seed")]
            settings = {**sections.complexes.identity(), "place": where}
            here = {**a.at, **{f"b_{key}": b.at[key] for key in ("site", "layer")}}
            del here["stage"]
            items.add("complex", settings, {"match": match}, here)


def _neighbours(
    saes: list[PlannedItem], same: tuple[str, ...], along: str
) -> Iterator[tuple[PlannedItem, PlannedItem]]:
    """Pairs next to each other along one axis, all of `same` being equal."""
    for group in _groups(saes, same):
        yield from pairwise(sorted(group, key=lambda item: item.at[along]))


def _ladders(saes: Iterable[PlannedItem]) -> list[list[PlannedItem]]:
    """The SAEs of every family from narrow to wide."""
    return [sorted(family, key=lambda sae: sae.at["d_sae"]) for family in _groups(saes, FAMILY)]


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
    further: dict[str, Any] | None = None,
) -> str:
    """Plan one pair; return its digest. `further` settings are part of its coordinates as well."""
    a, b = pair
    further = further or {}
    inputs = {
        "a": a.digest,
        "b": b.digest,
        "codes_a": codes[a.digest],
        "codes_b": codes[b.digest],
        **space_of(a.spec["inputs"]),
        "corpus": a.spec["inputs"]["corpus"],
    }
    if direction == "layer":
        inputs["masks_b"] = space_of(b.spec["inputs"])["masks"]
    # which widths lie between two changes nothing about them
    kind = "width" if direction == "skip" else direction
    settings = {**sections.match.identity(), "direction": kind, **further}
    if kind != "layer":
        del settings["vertex_firings"]  # no other match reads it
    here = {**at, "direction": direction, "a": a.at, "b": b.at, **further}
    return items.add("match", settings, inputs, here)


def trees(items: Items, sections: Overridable, at: Coordinates) -> None:
    """Plan the tree of every family at one site whose widths are all matched, and of every two
    matched seeds.
    """
    matches = {
        (item.spec["inputs"]["a"], item.spec["inputs"]["b"]): item.digest
        for item in items.of("match", **at)
    }
    for ladder in _ladders(items.of(*SAES, **at)):
        pairs = [(a.digest, b.digest) for a, b in pairwise(ladder)]
        if not pairs or not matches.keys() >= set(pairs):
            continue  # one width, or width matching switched off: no tree
        steps = [matches[pair] for pair in pairs]
        skips = {
            (low, high): match
            for low, high in combinations(range(len(ladder)), 2)
            if high - low > 1 and (match := matches.get((ladder[low].digest, ladder[high].digest)))
        }
        here = {key: ladder[0].at[key] for key in (*FAMILY, "layer")}
        _tree(items, sections, ladder, steps, here, skips)
    for pair_of_seeds in items.of("match", direction="seed", **at):
        pair = [items.by_digest[pair_of_seeds.spec["inputs"][side]] for side in ("a", "b")]
        here = {key: pair_of_seeds.at["a"][key] for key in (*FAMILY, "layer", "d_sae")}
        here |= {"direction": "seed", "against": pair_of_seeds.at["b"]["seed"]}
        _tree(items, sections, pair, [pair_of_seeds.digest], here)
    nested: dict[str, list[PlannedItem]] = {}
    for ends in items.of("match", direction="levels", **at):
        nested.setdefault(ends.spec["inputs"]["a"], []).append(ends)
    for digest, found in nested.items():
        sae = items.by_digest[digest]
        here = {key: sae.at[key] for key in (*FAMILY, "layer", "d_sae")} | {"direction": "levels"}
        found.sort(key=lambda ends: ends.spec["settings"]["leading"])
        widths, steps = levels_of(sae), [ends.digest for ends in found]
        _tree(items, sections, [sae] * len(widths), steps, here, further={"leading": widths})


def _tree(
    items: Items,
    sections: Overridable,
    ladder: list[PlannedItem],
    steps: list[str],
    at: Coordinates,
    skips: dict[tuple[int, int], str] | None = None,
    further: dict[str, Any] | None = None,
) -> None:
    """Plan the tree of the dictionaries of `ladder`; `skips` has matches by their two levels."""
    skips = skips or {}
    codes = _codes_of(items, model=at["model"], site=at["site"])
    items.add(
        "tree",
        {
            **sections.tree.identity(),
            "skips": [list(levels) for levels in skips],
            **(further or {}),
        },
        {
            "saes": [item.digest for item in ladder],
            "codes": [codes[item.digest] for item in ladder],
            "matches": steps,
            "skips": list(skips.values()),
        },
        at,
    )


def families(items: Items, place: Place, at: Coordinates) -> Iterator[tuple[Place, Coordinates]]:
    """Every family at one site, as the stages that make one item of each see it, and where."""
    of_sae = [stage for stage in STAGES.values() if "sae" in stage.of_each]
    made = {
        stage.kind: {
            item.spec["inputs"]["sae"]: item
            for item in items.of(stage.name, **at)
            if "sae" in item.spec["inputs"]
        }
        for stage in of_sae
    }
    trees = {_family(tree): tree for tree in items.of("tree", direction=None, **at)}
    nested = {tree.spec["inputs"]["saes"][0]: tree
              for tree in items.of("tree", direction="levels", **at)}  # fmt: skip
    for ladder in _ladders(items.of(*SAES, **at)):
        digests = [sae.digest for sae in ladder]
        of = {"saes": ladder}
        for kind, found in {**made, "levels": nested}.items():
            of[kind] = [found[digest] for digest in digests if digest in found]
        read = {**place.read, **{role: [i.digest for i in chosen] for role, chosen in of.items()}}
        every = [item for chosen in of.values() for item in chosen]
        if (tree := trees.get(_family(ladder[0]))) is not None:
            read["tree"] = tree.digest
            every.append(tree)
        # what a family is compared with needs no more of their places
        places: dict[str, Coordinates] = {place.read["corpus"]: {}}
        for item in every:
            places[item.digest] = {k: item.at[k] for k in ("layer", "d_sae") if k in item.at}
        seed = ladder[0].at["seed"]
        here = {key: ladder[0].at[key] for key in (*FAMILY, "layer")}
        yield replace(place, read=read, places=places, seed=seed), here


def _family(item: PlannedItem) -> tuple[Any, ...]:
    return tuple(item.at[key] for key in FAMILY)


def is_family(item: PlannedItem) -> bool:
    """Whether an item is no tree of another kind than that of a family, and no match for one."""
    direction = item.at.get("direction")
    return direction is None if item.stage == "tree" else direction != "levels"

"""Every item of a sweep: its spec (what determines it) and its coordinates (where it belongs).

Read `plan_items` top to bottom: it is the pipeline. Each step takes the digests that the steps
above it made, so a spec holds the digests of its inputs and a change upstream changes everything
below it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any

from interpsweep.config.sweep import Overridable, Sweep
from interpsweep.figures.registry import FIGURES, Figure
from interpsweep.lock import Lock, content_of, model_of, tokenizer_of
from interpsweep.models.sites import site_kind, site_layer
from interpsweep.plan.saes import SAES, output_of, place_of, saes_of
from interpsweep.spec import Spec, canonical_json, identified
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
        return name

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


def plan_items(sweep: Sweep, lock: Lock) -> Items:
    """Every item that `sweep` means, given the identities of outside inputs in `lock`."""
    items = Items()
    for model in sorted(sweep.models, key=lambda model: model.name):
        _model_items(items, sweep, model, lock)
    claims = _claims(items, sweep)
    figures = _figures(items, sweep, claims)
    report = _report(items, sweep, claims, figures)
    _bundle(items, sweep, lock, claims, figures, report)
    return items


# ---------------------------------------------------------------------------- per model and site


def _model_items(items: Items, sweep: Sweep, model: Any, lock: Lock) -> None:
    sections = sweep.sections(model.name)
    identity = model_of(model, lock)
    at = {"model": model.name}
    inputs: dict[str, Any] = {}
    if model.source == "trained":
        settings = {k: v for k, v in model.identity().items() if k in _TRAINED}
        inputs["model"] = items.add("model", settings, {}, at)
    corpus = items.add(
        "corpus",
        {
            **sections.corpus.identity(),
            "content": content_of(sections.corpus, lock),
            "tokenizer": tokenizer_of(model, lock),
            **({"language": model.language.identity()} if model.source == "trained" else {}),
        },
        {},
        at,
    )
    inputs["corpus"] = corpus
    own = {site: sweep.sections(model.name, site) for site in model.site_names}
    captured = {
        site: items.add(
            "capture",
            {**sections.capture.identity(), "site": site, "model": identity},
            inputs,
            _at(model, site),
        )
        for site, sections in own.items()
    }
    for site, here in own.items():
        _site_items(items, lock, here, model, identity, inputs, captured, site)
    _layer_matches(items, sections, model.name)


_TRAINED = ("source", "architecture", "training", "language", "seed")


def _site_items(
    items: Items,
    lock: Lock,
    sections: Overridable,
    model: Any,
    identity: dict[str, Any],
    inputs: dict[str, Any],
    captured: dict[str, str],
    site: str,
) -> None:
    at = _at(model, site)
    acts, corpus = captured[site], inputs["corpus"]
    if sections.corpus.labelled:
        items.add(
            "concepts",
            sections.concepts.identity(),
            {"activations": acts, "corpus": corpus},
            at,
        )
    for stage, settings in saes_of(sections, model, site, lock):
        here = {**at, **place_of(settings)}
        output = output_of(settings)
        predicts = {} if output is None else {"targets": captured[output]}
        read_first = {"activations": acts, "corpus": corpus}
        sae = items.add(stage, settings.identity(), {**read_first, **predicts}, here)
        place = {"site": site, **({} if output is None else {"output_site": output})}
        items.add(
            "evaluate",
            {**sections.evaluate.identity(), **place, "model": identity},
            {**inputs, **predicts, "sae": sae, "activations": acts},
            here,
        )
        read = {**read_first, "sae": sae}
        codes = items.add("encode", sections.encode.identity(), read, here)
        space = {**read, "codes": codes, "activations": _space(items.by_digest[sae])}
        items.add("geometry", sections.geometry.identity(), space, here)
    _width_and_seed_matches(items, sections, at)
    _trees(items, sections, at)


def _space(sae: PlannedItem) -> str:
    """The activations that decoder rows live among: those that a transcoder predicts."""
    inputs = sae.spec["inputs"]
    return inputs.get("targets", inputs["activations"])


def _at(model: Any, site: str) -> Coordinates:
    return {"model": model.name, "site": site, "layer": layer_of(site)}


def layer_of(site: str) -> int:
    """The layer number in a hook name: ``blocks.8.hook_resid_post`` -> 8; -1 outside the blocks."""
    layer = site_layer(site)
    return -1 if layer is None else layer


# ---------------------------------------------------------------------------- pairs and families


def _width_and_seed_matches(items: Items, sections: Overridable, at: Coordinates) -> None:
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


def _layer_matches(items: Items, sections: Overridable, model: str) -> None:
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
        "activations": _space(a),
    }
    settings = {**sections.match.identity(), "direction": direction}
    items.add("match", settings, inputs, {**at, "direction": direction, "a": a.at, "b": b.at})


def _trees(items: Items, sections: Overridable, at: Coordinates) -> None:
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
                "activations": _space(ladder[0]),
            },
            {key: ladder[0].at[key] for key in (*FAMILY, "layer")},
        )


# ---------------------------------------------------------------------------- the whole sweep

_CLAIM_ROLES = {
    "saes": SAES,
    "evaluations": ("evaluate",),
    "codes": ("encode",),
    "matches": ("match",),
    "trees": ("tree",),
    "geometries": ("geometry",),
    "concepts": ("concepts",),
}


def _claims(items: Items, sweep: Sweep) -> str:
    chosen = {role: items.of(*stages) for role, stages in _CLAIM_ROLES.items()}
    inputs: dict[str, Any] = {
        role: [item.digest for item in found] for role, found in chosen.items()
    }
    inputs["corpora"] = [item.digest for item in items.of("corpus")]
    index = _index([item for found in chosen.values() for item in found] + items.of("corpus"))
    return items.add("claims", {**sweep.claims.identity(), "index": index}, inputs, {})


def _index(chosen: Iterable[PlannedItem]) -> dict[str, Coordinates]:
    return {item.digest: item.at for item in chosen}


def _figures(items: Items, sweep: Sweep, claims: str) -> list[str]:
    drawn = []
    for name in sorted(sweep.figures.draw):
        figure = FIGURES[name]
        for at, chosen in _scopes(items, figure):
            settings = {
                "figure": name,
                "style": sweep.figures.style.identity(),
                "index": _index(chosen),
            }
            inputs = {
                stage: [item.digest for item in chosen if item.stage == stage]
                for stage in figure.needs
            }
            drawn.append(items.add("figures", settings, inputs, {**at, "figure": name}))
    return drawn


def _scopes(items: Items, figure: Figure) -> Iterator[tuple[Coordinates, list[PlannedItem]]]:
    """The places where a figure is drawn, and the items it is drawn from."""
    if figure.scope == "sweep":
        everything = items.of(*figure.needs)
        if everything:
            yield {}, everything
        return
    keys = ("model", "site", "layer") if figure.scope == "site" else (*FAMILY, "layer")
    anchors = [item.at for item in items.of(figure.needs[0]) if item.at.keys() >= set(keys)]
    for values in dict.fromkeys(tuple(at[key] for key in keys) for at in anchors):
        at = dict(zip(keys, values, strict=True))
        yield at, items.of(*figure.needs, **at)


def _report(items: Items, sweep: Sweep, claims: str, figures: list[str]) -> str:
    index = _index([items.by_digest[d] for d in [claims, *figures]])
    settings = {**sweep.report.identity(), "sweep": sweep.sweep, "index": index}
    inputs = {"figures": sorted(figures), "claims": claims}
    return items.add("report", settings, inputs, {})


def _bundle(
    items: Items, sweep: Sweep, lock: Lock, claims: str, figures: list[str], report: str
) -> None:
    index = _index([items.by_digest[d] for d in [claims, *figures]])
    settings = {
        "sweep": sweep.sweep,
        "config": _resolved(sweep),
        "lock": lock,
        "index": index,
    }
    inputs = {"figures": sorted(figures), "claims": claims, "report": report}
    items.add("bundle", settings, inputs, {})


def _resolved(sweep: Sweep) -> dict[str, Any]:
    """The configuration with defaults and ranges written out, and no order in its axes."""
    config = sweep.identity()
    config["models"] = {
        model.name: {
            **model.identity(),
            "sites": {site: model.site_overrides(site) for site in sorted(model.site_names)},
            "overrides": model.overrides,
            "saes": sorted((sae.identity() for sae in model.all_imports), key=canonical_json),
        }
        for model in sweep.models
    }
    train = config["train"]
    for axis in ("architectures", "widths", "sparsities", "seeds"):
        train[axis] = sorted(train[axis], key=canonical_json)
    config["figures"]["draw"] = sorted(config["figures"]["draw"])
    return config

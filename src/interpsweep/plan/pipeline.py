"""From a configuration to every item that it means.

Read `plan_items` top to bottom: it is the pipeline. Each step takes the digests that the steps
above it made, so a spec holds the digests of its inputs and a change upstream changes everything
below it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from interpsweep.config.sites import site_layer
from interpsweep.config.sweep import Overridable, Sweep
from interpsweep.lock import Lock, content_of, model_of, tokenizer_of, weights_to_convert
from interpsweep.plan.collect import plan_bundle, plan_claims, plan_figures, plan_report
from interpsweep.plan.families import families, layer_matches, trees, width_and_seed_matches
from interpsweep.plan.items import Coordinates, Items
from interpsweep.plan.saes import output_of, place_of, saes_of
from interpsweep.stages import STAGES
from interpsweep.stages.record import Place


def plan_items(sweep: Sweep, lock: Lock) -> Items:
    """Every item that `sweep` means, given the identities of outside inputs in `lock`."""
    items = Items()
    for model in sorted(sweep.models, key=lambda model: model.name):
        _model_items(items, sweep, model, lock)
    claims = plan_claims(items, sweep)
    figures = plan_figures(items, sweep, claims)
    report = plan_report(items, sweep, claims, figures)
    plan_bundle(items, sweep, lock, claims, figures, report)
    return items


def _model_items(items: Items, sweep: Sweep, model: Any, lock: Lock) -> None:
    sections = sweep.sections(model.name)
    identity = model_of(model, lock)
    at = {"model": model.name}
    inputs: dict[str, Any] = {}
    weights = weights_to_convert(model, lock)
    if model.source == "trained":
        settings = {k: v for k, v in model.identity().items() if k in _TRAINED}
        inputs["model"] = items.add("model", settings, {}, at)
    if weights is not None:
        inputs["model"] = items.add("model", {"source": "gguf", "weights": weights}, {}, at)
    corpus = items.add(
        "corpus",
        {
            **sections.corpus.identity(),
            "content": content_of(sections.corpus, lock),
            "tokenizer": tokenizer_of(model, lock),
            **{name: getattr(model, name).identity() for name in _PLANTED.get(model.source, ())},
            **_brought(model, identity),
        },
        {} if weights is None else dict(inputs),  # the tokenizer is in the checkpoint
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
    masked = {
        site: items.add(
            "mask",
            sections.mask.identity(),
            {"activations": captured[site], "corpus": corpus},
            _at(model, site),
        )
        for site, sections in own.items()
    }
    for site, here in own.items():
        place = Place(here, site, identity, _labelled(here, model), captured, masked, inputs)
        _site_items(items, lock, model, place)
    layer_matches(items, sections, model.name)


def _brought(model: Any, identity: dict[str, Any]) -> dict[str, Any]:
    """What a corpus takes from a folder of activations."""
    if model.source != "activations":
        return {}
    return {"activations": identity["content"], "marks": list(model.marks)}


_PLANTED = {"trained": ("language",), "world": ("world",)}
_TRAINED = ("source", "architecture", "training", "language", "seed")


def _labelled(sections: Overridable, model: Any) -> bool:
    return bool(sections.corpus.labelled and (model.source != "world" or model.world.labelled))


def _site_items(items: Items, lock: Lock, model: Any, place: Place) -> None:
    """What is planned at a site; `place.read` has what all sites of the model read."""
    site, sections = place.site, place.sections
    at = _at(model, site)
    captured, masked = place.captured, place.masked
    read = {**place.read, "activations": captured[site], "masks": [masked[site]]}
    place = replace(place, read=read)
    _of_each(items, "site", place, at)
    for stage, settings in saes_of(sections, model, site, lock):
        here, output = {**at, **place_of(settings)}, output_of(settings)
        predicts: dict[str, Any] = {}
        if output is not None:
            predicts = {"targets": captured[output], "masks": [masked[site], masked[output]]}
        first = {**place.inputs("activations", "masks", "corpus"), **predicts}
        sae = items.add(stage, settings.identity(), first, here)
        around = {**read, **predicts, "sae": sae}
        _of_each(items, "sae", replace(place, read=around, output=output), here)
    width_and_seed_matches(items, sections, at)
    trees(items, sections, at)
    for family, here in families(items, place, at):
        _of_each(items, "family", family, here)


def _of_each(items: Items, kind: str, place: Place, at: Coordinates) -> None:
    """The items of the stages that make one of each site, SAE or family."""
    for stage in STAGES.values():
        if kind in stage.of_each and stage.wants is not None:
            wanted = stage.wants(place)
            if wanted is not None:
                place.read[stage.kind] = items.add(stage.name, *wanted, at)


def _at(model: Any, site: str) -> Coordinates:
    return {"model": model.name, "site": site, "layer": _layer_of(site)}


def _layer_of(site: str) -> int:
    """The layer number in a hook name: ``blocks.8.hook_resid_post`` -> 8; -1 outside the blocks."""
    layer = site_layer(site)
    return -1 if layer is None else layer

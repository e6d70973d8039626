"""From a configuration to every item that it means.

Read `plan_items` top to bottom: it is the pipeline. Each step takes the digests that the steps
above it made, so a spec holds the digests of its inputs and a change upstream changes everything
below it.
"""

from __future__ import annotations

from typing import Any

from interpsweep.config.probes import ProbesSettings
from interpsweep.config.sites import next_site, site_layer
from interpsweep.config.sweep import Overridable, Sweep
from interpsweep.lock import Lock, content_of, model_of, tokenizer_of
from interpsweep.plan.collect import plan_bundle, plan_claims, plan_figures, plan_report
from interpsweep.plan.families import layer_matches, space_of, trees, width_and_seed_matches
from interpsweep.plan.items import Coordinates, Items
from interpsweep.plan.saes import output_of, place_of, saes_of


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
    if model.source == "trained":
        settings = {k: v for k, v in model.identity().items() if k in _TRAINED}
        inputs["model"] = items.add("model", settings, {}, at)
    corpus = items.add(
        "corpus",
        {
            **sections.corpus.identity(),
            "content": content_of(sections.corpus, lock),
            "tokenizer": tokenizer_of(model, lock),
            **{name: getattr(model, name).identity() for name in _PLANTED.get(model.source, ())},
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
    layer_matches(items, sections, model.name)


_PLANTED = {"trained": ("language",), "world": ("world",)}
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
    labelled = sections.corpus.labelled and (model.source != "world" or model.world.labelled)
    if labelled:
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
        space = {**read, "codes": codes, "activations": space_of(items.by_digest[sae])}
        items.add("geometry", sections.geometry.identity(), space, here)
        items.add("meta", sections.meta.identity(), {"sae": sae}, here)
        probed = sections.probes.methods and (labelled or sections.probes.first_letters)
        if probed and output is None:  # a transcoder reconstructs other activations than it reads
            asked, further = _judged(sections.probes, site, captured, identity, inputs)
            items.add("probe", asked, {**read, "codes": codes, **further}, here)
        items.add("landscape", sections.landscape.identity(), {"sae": sae, "codes": codes}, here)
    width_and_seed_matches(items, sections, at)
    trees(items, sections, at)


def _judged(
    probes: ProbesSettings,
    site: str,
    captured: dict[str, str],
    identity: dict[str, Any],
    inputs: dict[str, Any],
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Settings of probes, and inputs beside those of every item: the next site, if it judges."""
    settings = probes.identity()
    if "ablation" not in probes.methods:
        return settings, {}
    later = None if identity["source"] == "world" else next_site(site, captured)
    if later is None:
        return {**settings, "site": site}, {}
    place = {"site": site, "later_site": later, "model": identity}
    model = {role: digest for role, digest in inputs.items() if role == "model"}
    return {**settings, **place}, {**model, "later": captured[later]}


def _at(model: Any, site: str) -> Coordinates:
    return {"model": model.name, "site": site, "layer": _layer_of(site)}


def _layer_of(site: str) -> int:
    """The layer number in a hook name: ``blocks.8.hook_resid_post`` -> 8; -1 outside the blocks."""
    layer = site_layer(site)
    return -1 if layer is None else layer

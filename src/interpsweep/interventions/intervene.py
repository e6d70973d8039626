"""Stage ``intervene``: are the planes of labelled concepts what the model computes with?

At the slots of prompts whose next token depends on a value, the activation's coordinates in the
plane (or line, or span) of a concept become those of another value, or of the mean over values; see
`act`. An item of a site acts on the directions of its class means, one of an SAE on those of the
latents that stand for values. ``effects.parquet`` has one row per concept, subspace and action;
docs/tables.md says what is in it. ``summary.json`` says which concepts were left out, and why.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from interpsweep.columns import EFFECTS
from interpsweep.config.base import own_fields
from interpsweep.config.intervene import InterveneSettings
from interpsweep.context import Context, Item, Stopped
from interpsweep.corpora.artifact import Corpus
from interpsweep.errors import UserError, nearest
from interpsweep.geometry.concept_vectors import ClassMeans, class_means
from interpsweep.interventions.act import Asked, Site, actions, effect
from interpsweep.interventions.prompts import (
    Form,
    Planted,
    Questions,
    Text,
    Writer,
    forms,
    questions,
)
from interpsweep.interventions.subspaces import RandomRows, Subspace, of_latents, of_means
from interpsweep.models.load import LoadedModel, load_model
from interpsweep.saes.artifact import Dictionary
from interpsweep.spec import canonical_json
from interpsweep.tables import read_parquet, typed, write_json, write_parquet

ORDERED = ("circle", "line")


@dataclass
class Place:
    """A site with all that its items share."""

    site: Site | None  # None if nothing can be asked there
    means: dict[str, ClassMeans]
    asked: dict[str, tuple[Questions, list[Asked]]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)  # concept, or "all" -> why


def run(items: list[Item], ctx: Context) -> None:
    """Act on the concepts of a site, and on what its SAEs hold of them."""
    places: dict[str, Place] = {}
    for item in items:
        if ctx.stopping:
            return
        settings = own_fields(InterveneSettings, item.spec["settings"])
        shared = ("model", "corpus", "concepts")
        inputs = {role: str(item.inputs[role]) for role in shared if role in item.inputs}
        key = canonical_json({"settings": item.spec["settings"], "inputs": inputs})
        if key not in places:
            places[key] = _place(item, settings, ctx)
        item.publish(_write(item, places[key], settings, ctx))


def _place(item: Item, s: InterveneSettings, ctx: Context) -> Place:
    """Ask the model all prompts as it is."""
    settings, corpus = item.spec["settings"], Corpus.open(item.inputs["corpus"])
    asked = _forms(settings["model"], corpus, s)
    model = load_model(settings["model"], item.inputs.get("model"), ctx)
    means = class_means(item.inputs["concepts"])
    if (why := _unfit(model, settings["site"])) is not None:
        ctx.log(f"{settings['site']}: {why}")
        return Place(None, means, left_out={"all": why})
    place = Place(Site(model, settings["site"]), means)
    writer: Writer = Planted(corpus) if model.tokenizer is None else Text(corpus, model.tokenizer)
    for name, its in asked.items():
        if name not in means:
            place.left_out[name] = "fewer than three values have enough tokens"
            continue
        found = questions(
            name, corpus.concepts[name], its, means[name].values, writer,
            s.prompts, s.batch_tokens, s.seed,
        )  # fmt: skip
        if isinstance(found, str):
            place.left_out[name] = found
        elif place.site is not None:
            place.asked[name] = found, place.site.ask(found)
    for name, why in place.left_out.items():
        ctx.log(f"{name}: left out: {why}")
    return place


def _unfit(model: LoadedModel, site: str) -> str | None:
    """Why nothing can be asked of a model at a site."""
    if not model.causal:
        return "the model does not predict the next token"
    if not model.replaceable(site):
        return "the skip connection goes around this hook"
    return None


def _forms(model: dict[str, Any], corpus: Corpus, s: InterveneSettings) -> dict[str, list[Form]]:
    """Those of the ordered concepts that are wanted. Raises UserError for one without prompts."""
    listed = forms("planted" if model["source"] == "trained" else "text")
    known = [
        name
        for name, concept in corpus.concepts.items()
        if name in listed and concept["shape"] in ORDERED
    ]
    for name in s.concepts:
        if name not in known:
            raise UserError(
                f"intervene.concepts: there are no prompts for a labelled concept {name!r} of this "
                f"corpus{nearest(name, known)}; there are for: {', '.join(known) or 'none'}"
            )
    return {name: listed[name] for name in s.concepts or known}


def _write(item: Item, place: Place, s: InterveneSettings, ctx: Context) -> dict[str, Any]:
    found = [
        (name, subspace, action)
        for name, (its, _) in place.asked.items()
        for subspace in _subspaces(name, item, place)
        for action in actions(its, s)
    ]
    rows, left_out = [], dict(place.left_out)
    total = len(found) * (1 + s.draws)
    with ctx.bar(total, "acting", unit="draws") as bar:

        def done() -> None:
            bar.advance()
            if ctx.stopping:
                raise Stopped("intervene: stopped; run the same command to start this item again")

        if place.site is not None and found:
            random = RandomRows(place.site.covariance(), s.seed)
            for name, subspace, action in found:
                its, asked = place.asked[name]
                row = effect(place.site, its, asked, subspace, action, random, s.draws, done)
                if row is None:
                    left_out[f"{name}, {action.name} {action.steps}"] = "beyond the ends"
                else:
                    rows.append(row)
    table = typed(rows, EFFECTS)
    write_parquet(table, item.out / "effects.parquet")
    best = table[table["action"] != "ablate"].groupby(["concept", "space"])
    summary = {
        "rows": len(table),
        "effects": {f"{c} {space}": float(of["effect"].mean()) for (c, space), of in best},
        "left_out": left_out,
    }
    write_json(summary, item.out / "summary.json")
    return summary


def _subspaces(name: str, item: Item, place: Place) -> Iterator[Subspace]:
    """Those of a concept that an item acts on."""
    its, means = place.asked[name][0], place.means[name]
    k = len(its.answers)
    if "sae" not in item.inputs:
        yield from of_means(means, k)
        return
    held = read_parquet(item.inputs["recovery"] / "values.parquet")
    directions = np.asarray(Dictionary.open(item.inputs["sae"]).directions)
    yield from of_latents(means, k, its.shape, held[held["concept"] == name], directions)

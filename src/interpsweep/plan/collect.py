"""What is made once of the whole sweep: claims, figures, report and bundle."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from interpsweep.config.figures import FIGURES, Figure
from interpsweep.config.sweep import Sweep
from interpsweep.lock import Lock
from interpsweep.plan.families import is_family
from interpsweep.plan.items import FAMILY, Coordinates, Items, PlannedItem
from interpsweep.spec import canonical_json
from interpsweep.stages import STAGES


def plan_claims(items: Items, sweep: Sweep) -> str:
    """Plan the claims, which read every analysis of the sweep; return their digest."""
    stages: dict[str, list[str]] = {}
    for name in STAGES["claims"].reads:
        stages.setdefault(STAGES[name].kind, []).append(name)
    chosen = {kind: items.of(*names) for kind, names in stages.items()}
    chosen["controls"] = items.of("tree", direction="seed")
    for role in ("trees", "matches"):
        chosen[role] = list(filter(is_family, chosen[role]))
    inputs: dict[str, Any] = {
        role: [item.digest for item in found] for role, found in chosen.items()
    }
    index = _index(item for found in chosen.values() for item in found)
    return items.add("claims", {**sweep.claims.identity(), "index": index}, inputs, {})


def _index(chosen: Iterable[PlannedItem]) -> dict[str, Coordinates]:
    return {item.digest: item.at for item in chosen}


def plan_figures(items: Items, sweep: Sweep, claims: str) -> list[str]:
    """Plan every figure at every place where it is drawn; return their digests."""
    drawn = []
    for name in sorted(sweep.figures.draw):
        figure = FIGURES[name]
        if figure.only_with and not items.of("tree", direction=figure.only_with):
            continue
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
            drawn.append(
                items.add(
                    "figures", settings, inputs, {**at, "figure": name, "drawn": figure.drawn}
                )
            )
    return drawn


def _scopes(items: Items, figure: Figure) -> Iterator[tuple[Coordinates, list[PlannedItem]]]:
    """The places where a figure is drawn, and the items it is drawn from."""
    everything = list(filter(is_family, items.of(*figure.needs)))
    if figure.scope == "sweep":
        if everything:
            yield {}, everything
        return
    keys = ("model", "site", "layer") if figure.scope == "site" else (*FAMILY, "layer")
    of_first = [item.at for item in everything if item.stage == figure.needs[0]]
    anchors = [at for at in of_first if at.keys() >= set(keys)]
    for values in dict.fromkeys(tuple(at[key] for key in keys) for at in anchors):
        at = dict(zip(keys, values, strict=True))
        yield at, list(filter(is_family, items.of(*figure.needs, **at)))


def plan_report(items: Items, sweep: Sweep, claims: str, figures: list[str]) -> str:
    """Plan the atlas; return its digest."""
    index = _index([items.by_digest[d] for d in [claims, *figures]])
    settings = {**sweep.report.identity(), "sweep": sweep.sweep, "index": index}
    inputs = {"figures": sorted(figures), "claims": claims}
    return items.add("report", settings, inputs, {})


def plan_bundle(
    items: Items, sweep: Sweep, lock: Lock, claims: str, figures: list[str], report: str
) -> None:
    """Plan the zip with figures, configuration and provenance."""
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

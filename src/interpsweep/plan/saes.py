"""The SAEs of a site, trained here or imported, as the planner sees them."""

from __future__ import annotations

from typing import Any

from interpsweep.config.imports import ImportSettings
from interpsweep.config.saes import TrainSettings
from interpsweep.config.sites import site_layer
from interpsweep.config.sweep import Overridable
from interpsweep.errors import UserError, nearest
from interpsweep.lock import Lock, import_of
from interpsweep.stages import STAGES

SAES = tuple(stage.name for stage in STAGES.values() if stage.kind == "saes")
OWN = ("architecture", "sparsity", "d_sae", "seed")  # what tells the SAEs of a site apart
SAESettings = TrainSettings | ImportSettings


def saes_of(
    sections: Overridable, model: Any, site: str, lock: Lock
) -> list[tuple[str, SAESettings]]:
    """(stage, settings) of every SAE at a site. Raises UserError if two have one place."""
    trained = (_with_output(settings, model, site) for settings in sections.train.expand())
    found: list[tuple[str, SAESettings]] = [
        # once each: a transcoder that predicts what it reads is the SAE beside it
        *(("train", settings) for settings in dict.fromkeys(trained)),
        *(("import", import_of(sae, lock)) for sae in model.imports(site)),
    ]
    seen = set()
    for _, settings in found:
        place = tuple(place_of(settings).values())
        if place in seen:
            kind, sparsity, width, seed = place
            raise UserError(
                f"models[].saes: {model.name!r} has two SAEs at {site} that are alike: {kind}, "
                f"sparsity {sparsity:g}, d_sae {width}, seed {seed}. Give the imported one another "
                "`seed` (its twin is then matched with it) or another `architecture` (a family of "
                "its own)"
            )
        seen.add(place)
    return found


def place_of(settings: SAESettings) -> dict[str, Any]:
    """Coordinates of an SAE among those of its site. A transcoder is an architecture of its own."""
    place = {key: getattr(settings, key) for key in OWN}
    if isinstance(settings, TrainSettings):
        place["architecture"] = settings.kind
    return place


def output_of(settings: SAESettings) -> str | None:
    """The site that a transcoder predicts; None for an SAE."""
    return settings.output_site if isinstance(settings, TrainSettings) else None


def _with_output(settings: TrainSettings, model: Any, site: str) -> TrainSettings:
    """The settings with the name of the site to predict written out. Raises UserError."""
    output = settings.output_at(site)
    if output is None:
        return settings.model_copy(update={"output_site": None})
    if output not in model.site_names:
        raise UserError(
            f"train.output_site: {output!r} is not among the sites of model {model.name!r}"
            f"{nearest(output, model.site_names)}; add it to `sites`, or override output_site for "
            f"{site}"
        )
    layer, ahead = site_layer(site), site_layer(output)
    if layer is not None and ahead is not None and ahead < layer:
        raise UserError(
            f"train.output_site: {output!r} lies before {site!r}, which it is to be predicted from"
        )
    return settings.model_copy(update={"output_site": output})

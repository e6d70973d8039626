"""The SAEs of a site, trained here or imported, as the planner sees them."""

from __future__ import annotations

from typing import Any

from interpsweep.config.imports import ImportSettings
from interpsweep.config.saes import TrainSettings
from interpsweep.config.sweep import Overridable
from interpsweep.errors import UserError
from interpsweep.lock import Lock, import_of

SAES = ("train", "import")  # the stages that make SAEs
OWN = ("architecture", "sparsity", "d_sae", "seed")  # what tells the SAEs of a site apart


def saes_of(
    sections: Overridable, model: Any, site: str, lock: Lock
) -> list[tuple[str, TrainSettings | ImportSettings]]:
    """(stage, settings) of every SAE at a site. Raises UserError if two have one place."""
    found: list[tuple[str, TrainSettings | ImportSettings]] = [
        *(("train", settings) for settings in sections.train.expand()),
        *(("import", import_of(sae, lock)) for sae in model.imports(site)),
    ]
    seen = set()
    for _, settings in found:
        place = tuple(getattr(settings, key) for key in OWN)
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

"""Stage ``import``: an SAE that somebody else trained, as the directory that our trainer writes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from interpsweep.activations.artifact import Activations
from interpsweep.config.imports import ImportSettings
from interpsweep.context import Context
from interpsweep.errors import UserError
from interpsweep.saes.describe import describe
from interpsweep.saes.formats import (
    dictionary_learning,
    gemma_scope,
    llama_scope,
    saelens,
    sparsify,
)
from interpsweep.saes.formats import files as f

READERS = {
    "saelens": saelens.read,
    "gemma_scope": gemma_scope.read,
    "gemma_scope_2": gemma_scope.read_second,
    "llama_scope": llama_scope.read,
    "sparsify": sparsify.read,
    "dictionary_learning": dictionary_learning.read,
}


def run(spec: dict[str, Any], inputs: dict[str, Any], out: Path, ctx: Context) -> dict[str, Any]:
    """Read the SAE, check it against the site's activations, fold what can be folded, write it."""
    settings = ImportSettings(**spec["settings"])
    activations = Activations.open(inputs["activations"], inputs["masks"])
    files = _files(settings, ctx)
    _check_size(files, settings, activations.d_in)
    foreign = READERS[settings.format](files)
    if foreign.doubt and settings.architecture != "relu":
        raise UserError(foreign.doubt)
    rows = foreign.tensors["W_dec"].shape
    if len(rows) == 2 and rows[1] != activations.d_in:
        raise UserError(
            f"{foreign.name}: an SAE for activations of width {rows[1]}; those of {settings.site} "
            f"have width {activations.d_in}. Correct models[].saes[].site, or the model"
        )
    foreign.check(activations.d_in, settings.d_sae)
    foreign.fold_scale(_scale(settings, activations))
    if settings.centred:
        foreign.fold_centring()
    foreign.fold_norms()
    about = {
        **describe(inputs),
        "training_architecture": settings.architecture,
        "imported_from": settings.format,
    }
    foreign.write(out, about)
    empty = int((~foreign.tensors["W_dec"].any(axis=1)).sum())
    if empty:
        ctx.log(
            f"{foreign.name}: {empty} of {settings.d_sae} latents have a decoder row of zeros: "
            "they may fire but decode nothing, and have no direction to compare"
        )
    made = {"d_in": activations.d_in, "d_sae": settings.d_sae}
    return made | {"zero_decoder_rows": empty, "notes": [foreign.doubt] if foreign.doubt else []}


def _files(settings: ImportSettings, ctx: Context) -> f.Files:
    """The files named by content; jobs look for a hub repository in the local cache only."""
    if isinstance(settings.content, str):
        return f.local_files(ctx.external(settings.content))
    where = settings.content
    return f.hub_files(where["repo"], where["commit"], where["path"], network=False)


def _check_size(files: f.Files, settings: ImportSettings, d_in: int) -> None:
    """Raise UserError if the file is larger than any SAE of this size: it is not even opened."""
    weights = files.need(f.WEIGHTS[settings.format])
    most = 8 * (2 * d_in * settings.d_sae + 8 * (d_in + settings.d_sae)) + (1 << 24)
    if weights.stat().st_size > most:
        raise UserError(
            f"{files.name}/{weights.name}: {weights.stat().st_size:,} bytes are too many for "
            f"{settings.d_sae} latents of width {d_in}; correct models[].saes[].d_sae or the files"
        )


def _scale(settings: ImportSettings, activations: Activations) -> float | None:
    """The factor of the configuration, if it gives one."""
    if settings.scale == "estimate":
        return math.sqrt(activations.d_in) / activations.statistics.mean_norm
    return settings.scale

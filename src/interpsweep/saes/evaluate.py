"""Stage ``evaluate``: the quality of SAEs on the held-out split.

The SAEs of a site share the reading of activations, the clean forward pass and the zero-ablated
one; each then costs one forward pass with its reconstruction in place of the activations. The
loss part is left out for models that do not predict the next token, and for sites whose
replacement would not reach everything downstream.

A transcoder is judged by what it predicts: reconstruction, groups and ablation are of the
activations in its input `targets`, and its output stands in for those of `output_site`, made from
what the same pass has at `site`.

Sites are not evaluated together: n SAEs cost n + 2 passes over `contexts` contexts, of which
sharing between sites would save one (4 % of the stage in the default sweep, where n is 6), while
the sites of a model would no longer be evaluated side by side.

``metrics.json`` holds the metrics of `saes.metrics` under names that carry their version
(``explained_variance.v2``), how many tokens they are of, ``density_histogram`` and
``dead_windows``. The tables, each with a column ``metrics_version``:

``latents.parquet``
    One row per latent: ``feature``, ``density``, ``n_fired``, ``nearest`` and ``nearest_cosine``
    (the live latent most alike by decoder row; -1 and NaN for dead ones).
``positions.parquet``, ``norms.parquet``
    Error and L0 by position in the context and by norm of the activation, one row per group: its
    edges (``position_first``, ``position_end`` or ``norm_low``, ``norm_high``; the upper one does
    not belong to it), ``tokens``, ``variance`` around the mean of all tokens, ``mse``, ``fvu``
    (mse / variance), ``explained_variance``, ``l0``. Norms are grouped by the deciles of the
    leading READ_ROWS activations.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from interpsweep.activations.artifact import Activations, LeftOut
from interpsweep.activations.reader import check_paired
from interpsweep.config.base import own_fields
from interpsweep.config.inference import EvaluateSettings
from interpsweep.config.sites import MODELLESS
from interpsweep.context import Context, Item, Stopped
from interpsweep.corpora.artifact import Corpus
from interpsweep.errors import UserError
from interpsweep.models.halving import Halving
from interpsweep.models.load import LoadedModel, load_model
from interpsweep.saes import cosines
from interpsweep.saes.breakdown import Groups, norm_edges, position_edges
from interpsweep.saes.kernels import native
from interpsweep.saes.load import load
from interpsweep.saes.measurement import Measurement, Unsound
from interpsweep.saes.metrics import METRICS_VERSION, Truth
from interpsweep.saes.splice import Batch, Losses, Passes, batches
from interpsweep.spec import canonical_json
from interpsweep.store.layout import MANIFEST
from interpsweep.store.seal import read_manifest
from interpsweep.tables import write_json, write_parquet

READ_ROWS = 4096  # activations in memory at once, in float64
GROUPS = {
    "positions": ("position_first", "position_end"),
    "norms": ("norm_low", "norm_high"),
}


def run(items: list[Item], ctx: Context) -> None:
    """Evaluate the missing items of a site. Raises UserError after the others if any fails."""
    failures: list[str] = []
    for shared in _alike(items):
        native.use_threads(ctx.threads)  # the model of the group before has changed torch's
        settings = own_fields(EvaluateSettings, shared[0].spec["settings"])
        masks = shared[0].inputs["masks"]
        activations = Activations.open(shared[0].inputs["activations"], masks)
        wanted = activations
        if "targets" in shared[0].inputs:
            wanted = Activations.open(shared[0].inputs["targets"], masks[::-1])
            check_paired(activations, wanted)
        groups = _groups(wanted, settings, ctx.device)
        running = [
            Measurement(item, load(item.inputs["sae"], ctx.device), groups) for item in shared
        ]
        running = _measure_activations(running, activations, wanted, settings, failures, ctx)
        running = _measure_left_out(running, activations, wanted, settings, failures, ctx)
        if running and settings.contexts:
            running = _measure_loss(running, shared[0], settings, failures, ctx)
        for one in running:
            one.item.publish(_write(one, settings))
    if failures:
        raise UserError("; ".join(failures) + ". Train or export the SAE again")


def _alike(items: list[Item]) -> list[list[Item]]:
    """Items that differ in nothing but their SAE."""
    groups: dict[str, list[Item]] = {}
    for item in items:
        inputs = {role: digest for role, digest in item.spec["inputs"].items() if role != "sae"}
        key = canonical_json({"settings": item.spec["settings"], "inputs": inputs})
        groups.setdefault(key, []).append(item)
    return list(groups.values())


def _stop_if_asked(ctx: Context) -> None:
    if ctx.stopping:
        raise Stopped("evaluate: stopped; run the same command to start these items again")


# ---------------------------------------------------------------------- activations


def _rows(activations: Activations, settings: EvaluateSettings) -> tuple[int, int]:
    """Rows [first, last) that SAEs are judged on."""
    first, last = activations.splits["eval"]
    if first == last:
        raise UserError(f"{activations.path}: the eval split is empty; give the corpus one")
    return first, last if settings.rows is None else min(last, first + settings.rows)


def _groups(activations: Activations, settings: EvaluateSettings, device: str) -> dict[str, Groups]:
    first, last = _rows(activations, settings)
    leading = activations.read(first, min(first + READ_ROWS, last))
    norms = np.linalg.norm(leading.astype(np.float64), axis=1)
    longest = int(activations.position(first, last).max()) + 1
    edges = {"positions": position_edges(longest), "norms": norm_edges(norms)}
    return {by: Groups(edges[by], activations.d_in, device) for by in GROUPS}


def _measure_activations(
    running: list[Measurement],
    activations: Activations,
    wanted: Activations,
    settings: EvaluateSettings,
    failures: list[str],
    ctx: Context,
) -> list[Measurement]:
    """Measure reconstruction and firing; return those SAEs that gave finite numbers.

    SAEs read `activations` and are to give `wanted`, which are others for transcoders.
    """
    for one in running:
        sizes, given = (one.sae.d_in, one.sae.d_out), (activations.d_in, wanted.d_in)
        if sizes != given:
            raise UserError(
                f"{one.item.inputs['sae']}: an SAE from {sizes[0]} to {sizes[1]} dimensions; the "
                f"activations have {given[0]} and {given[1]}. It belongs to another site"
            )
    first, last = _rows(activations, settings)
    groups = running[0].groups
    with ctx.bar((last - first) * len(running), "evaluating", unit="tok") as bar:
        for start in range(first, last, READ_ROWS):
            stop = min(start + READ_ROWS, last)
            truth = _truth(wanted, start, stop, ctx.device)
            x = truth.x if wanted is activations else _x(activations, start, stop, ctx.device)
            position = torch.from_numpy(activations.position(start, stop).astype(np.int64))
            values = {"positions": position.to(ctx.device), "norms": truth.squares.sqrt()}
            members = {by: groups[by].members(values[by], truth) for by in GROUPS}
            running = _sound(running, failures, lambda one: one.see(x, truth, members))  # noqa: B023
            bar.advance((stop - start) * len(running))
            _stop_if_asked(ctx)
    return running


def _measure_left_out(
    running: list[Measurement],
    activations: Activations,
    wanted: Activations,
    settings: EvaluateSettings,
    failures: list[str],
    ctx: Context,
) -> list[Measurement]:
    """Measure the reconstruction of the rows left out among those that SAEs are judged on."""
    first, last = activations.captured(*_rows(activations, settings))
    rows = activations.left_out.row
    rows = rows[(rows >= first) & (rows < last)]
    read, predicted = Activations(activations.path), Activations(wanted.path)
    for begin in range(0, len(rows), READ_ROWS):
        some = rows[begin : begin + READ_ROWS]
        truth = Truth(torch.from_numpy(predicted.read_at(some)).to(ctx.device), int(some[0]))
        x = truth.x
        if wanted is not activations:
            x = torch.from_numpy(read.read_at(some)).to(ctx.device)
        running = _sound(running, failures, lambda one: one.see_left_out(x, truth))  # noqa: B023
        _stop_if_asked(ctx)
    return running


def _truth(activations: Activations, start: int, stop: int, device: str) -> Truth:
    truth = Truth(_x(activations, start, stop, device), start)
    bad = (~truth.squares.isfinite()).nonzero()
    if len(bad):
        raise UserError(
            f"{activations.path}: row {start + int(bad[0])} is not finite; find what is damaged "
            "with `interpsweep verify`, and have it made again with `--repair`"
        )
    return truth


def _x(activations: Activations, start: int, stop: int, device: str) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(activations.read(start, stop))).to(device)


def _sound(running: list[Measurement], failures: list[str], measure: Any) -> list[Measurement]:
    """Measure each SAE; return those whose numbers are finite, note the others."""
    kept = []
    for one in running:
        try:
            measure(one)
        except Unsound as error:
            failures.append(str(error))
        else:
            kept.append(one)
    return kept


# ---------------------------------------------------------------------- loss recovered


def _measure_loss(
    running: list[Measurement],
    item: Item,
    settings: EvaluateSettings,
    failures: list[str],
    ctx: Context,
) -> list[Measurement]:
    """Measure the loss recovered where it is defined; return the SAEs with finite losses."""
    place = item.spec["settings"]
    site = place.get("output_site", place["site"])
    if item.spec["settings"]["model"]["source"] in MODELLESS:
        ctx.log(f"{site}: there is no model, so no loss recovered")
        return running
    model = load_model(item.spec["settings"]["model"], item.inputs.get("model"), ctx)
    if not (model.causal and model.replaceable(site)):
        ctx.log(f"{site}: the loss recovered is not defined here; left out")
        return running
    left_out = LeftOut.of(item.inputs["masks"]).token
    found = list(batches(Corpus.open(item.inputs["corpus"]), settings, left_out))
    halving = Halving(ctx.device, ctx)
    with ctx.bar(len(found) * (len(running) + 2), "loss recovered", unit="passes") as bar:
        for batch in found:
            work = partial(_splice, running, model, site, batch)
            # nothing is counted before all of a batch has been through
            for passes, losses in halving.map(work, len(batch.tokens), "take a machine with more"):
                count = partial(Measurement.add, passes=passes, losses=losses)
                running = _sound(running, failures, count)
            bar.advance(len(running) + 2)
            _stop_if_asked(ctx)
    return running


def _splice(
    running: list[Measurement],
    model: LoadedModel,
    site: str,
    batch: Batch,
    part: slice,
) -> tuple[Passes, dict[str, Losses]]:
    """The passes over some contexts of a batch, and what they cost with each SAE, by item."""
    passes = Passes(model, site, batch.part(part, model.device))
    losses = {one.item.digest: one.splice(passes) for one in running}
    passes.clean.parts.clear()  # predictions: large, and needed no more
    return passes, losses


# ---------------------------------------------------------------------- results


def _write(one: Measurement, settings: EvaluateSettings) -> dict[str, Any]:
    latents, alike = _latents(one, settings)
    window, dead = _training_window(one)
    every = one.reconstruction.together(one.left_out).results()
    values: dict[str, float | None] = {
        **one.firing.results(settings.dense_above),
        **one.reconstruction.results(),
        "explained_variance_all_rows": every["explained_variance"],
        **alike,
        "training_dead_fraction": dead,
        **(one.loss.results() if one.loss.tokens else {}),
    }
    named = {f"{name}.v{METRICS_VERSION}": value for name, value in values.items()}
    about = {
        "metrics_version": METRICS_VERSION,
        "tokens": one.firing.tokens,
        "left_out_tokens": one.left_out.tokens,
        "loss_tokens": one.loss.tokens,
        "training_dead_window": window,
    }
    lists = {
        "density_histogram": one.firing.histogram(),
        "dead_windows": one.firing.dead_windows(),
    }
    write_json({**named, **about, **lists}, one.item.out / "metrics.json")
    write_parquet(latents, one.item.out / "latents.parquet")
    for by, names in GROUPS.items():
        table = one.groups[by].table(one.sums[by], one.reconstruction.mean, names)
        write_parquet(table, one.item.out / f"{by}.parquet")
    return {**named, **about}


def _training_window(one: Measurement) -> tuple[int | None, float | None]:
    """Tokens of training's last dead window and the share dead in it; None for other SAEs."""
    manifest = one.item.inputs["sae"] / MANIFEST
    noted = read_manifest(manifest).get("metrics", {}) if manifest.exists() else {}
    return noted.get("dead_window_tokens"), noted.get("dead_fraction")


def _latents(
    one: Measurement, settings: EvaluateSettings
) -> tuple[pd.DataFrame, dict[str, float | None]]:
    """The table of latents, and the summary of the cosines in it."""
    sae, firing = one.sae, one.firing
    live = np.flatnonzero(firing.counts)
    index, cosine = np.full(sae.d_sae, -1), np.full(sae.d_sae, np.nan, np.float32)
    if len(live) > 1:
        rows = torch.from_numpy(live).to(sae.W_dec.device)
        best, which = cosines.nearest(sae.W_dec[rows])
        index[live], cosine[live] = live[which.cpu().numpy()], best.cpu().numpy()
    pairs = np.full(sae.d_sae, np.nan, np.float32)
    if not sae.transcodes:  # else the two live in different spaces
        pairs = cosines.paired(sae.W_enc.T, sae.W_dec).cpu().numpy()
    table = pd.DataFrame(
        {
            "feature": np.arange(sae.d_sae, dtype=np.int32),
            "density": firing.densities,
            "n_fired": firing.counts,
            "nearest": index.astype(np.int32),
            "nearest_cosine": cosine,
            "metrics_version": np.int32(METRICS_VERSION),
        }
    )
    found = cosine[live].astype(np.float64)
    some = len(live) > 1
    return table, {
        **{
            f"nearest_cosine_q{100 * q:.0f}": float(np.quantile(found, q)) if some else None
            for q in cosines.QUANTILES
        },
        "nearest_cosine_random": cosines.random_median(len(live), sae.W_dec.shape[1])
        if some
        else None,
        "duplicate_fraction": float((found > settings.duplicate_above).mean()) if some else None,
        "encoder_decoder_cosine": (
            float(pairs[live].mean(dtype=np.float64)) if some and not sae.transcodes else None
        ),
    }

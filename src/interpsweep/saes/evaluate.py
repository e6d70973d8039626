"""Stage ``evaluate``: the quality of SAEs on the held-out split.

The SAEs of a site share the reading of activations, the clean forward pass and the zero-ablated
one; each then costs one forward pass with its reconstruction in place of the activations. The
loss part is left out for models that do not predict the next token, and for sites whose
replacement would not reach everything downstream.

``metrics.json`` holds the metrics of `saes.metrics` under names that carry their version
(``explained_variance.v1``); ``density.parquet`` one row per latent: ``feature``, ``density``,
``n_fired``, ``mean_activation`` (times the decoder norm; NaN if it never fires).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from interpsweep.activations.artifact import Activations
from interpsweep.config.saes import EvaluateSettings
from interpsweep.context import Context, Stopped
from interpsweep.corpora.artifact import Corpus
from interpsweep.errors import UserError
from interpsweep.jobs import Item
from interpsweep.models.batches import length_batches
from interpsweep.models.forward import forward_logits, forward_with_replacement
from interpsweep.models.load import LoadedModel, load_model
from interpsweep.saes.load import LoadedSAE, encode_parts, load
from interpsweep.saes.metrics import (
    METRICS_VERSION,
    Firing,
    Losses,
    LossRecovered,
    Reconstruction,
)
from interpsweep.spec import canonical_json
from interpsweep.tables import write_json, write_parquet

READ_ROWS = 8192  # activations in memory at once


@dataclass
class Judged:
    """One item with its SAE and what has been measured of it."""

    item: Item
    sae: LoadedSAE
    loss: LossRecovered = field(default_factory=LossRecovered)

    def __post_init__(self) -> None:
        device = self.sae.b_dec.device
        self.reconstruction = Reconstruction(self.sae.d_in, device)
        self.firing = Firing(self.sae.d_sae, device)

    @torch.no_grad()
    def see(self, x: Tensor) -> None:
        """Measure on activations (n, d_in)."""
        for part, codes in encode_parts(self.sae, x):
            self.reconstruction.update(part, self.sae.reconstruct(part, codes))
            folded = codes.values * self.sae.norms[codes.columns]
            self.firing.update(codes.columns, folded, len(part))

    @torch.no_grad()
    def replace(self, activations: Tensor, kept: Tensor) -> Tensor:
        """Activations (b, t, d_in) with reconstructions at all places that are not `kept`."""
        flat = activations[~kept].float()
        hats = [self.sae.reconstruct(part, codes) for part, codes in encode_parts(self.sae, flat)]
        replaced = activations.clone()
        replaced[~kept] = torch.cat(hats).to(activations.dtype)
        return replaced


def run(items: list[Item], ctx: Context) -> None:
    """Evaluate the missing items of a site."""
    torch.set_num_threads(ctx.threads)
    for shared in _alike(items):
        settings = _settings(shared[0])
        judged = [Judged(item, load(item.inputs["sae"], ctx.device)) for item in shared]
        _measure_activations(
            judged, Activations.open(shared[0].inputs["activations"]), settings, ctx
        )
        if settings.contexts:
            _measure_loss(judged, shared[0], settings, ctx)
        for one in judged:
            one.item.publish(_write(one, settings))


def _alike(items: list[Item]) -> list[list[Item]]:
    """Items that differ in nothing but their SAE."""
    groups: dict[str, list[Item]] = {}
    for item in items:
        inputs = {role: digest for role, digest in item.spec["inputs"].items() if role != "sae"}
        key = canonical_json({"settings": item.spec["settings"], "inputs": inputs})
        groups.setdefault(key, []).append(item)
    return list(groups.values())


def _settings(item: Item) -> EvaluateSettings:
    own = EvaluateSettings.model_fields
    return EvaluateSettings(**{k: v for k, v in item.spec["settings"].items() if k in own})


def _stop_if_asked(ctx: Context) -> None:
    if ctx.stopping:
        raise Stopped("evaluate: stopped; run the same command to start these items again")


# ---------------------------------------------------------------------- activations


def _measure_activations(
    judged: list[Judged], activations: Activations, settings: EvaluateSettings, ctx: Context
) -> None:
    first, last = activations.splits["eval"]
    if first == last:
        raise UserError(f"{activations.path}: the eval split is empty; give the corpus one")
    for one in judged:
        if one.sae.d_in != activations.d_in:
            raise UserError(
                f"{one.item.inputs['sae']}: the SAE takes {one.sae.d_in} dimensions, the "
                f"activations have {activations.d_in}; it belongs to another site"
            )
    if settings.rows is not None:
        last = min(last, first + settings.rows)
    with ctx.bar((last - first) * len(judged), "evaluating", unit="tok") as bar:
        for start in range(first, last, READ_ROWS):
            rows = activations.read(start, min(start + READ_ROWS, last))
            x = torch.from_numpy(np.ascontiguousarray(rows)).to(ctx.device)
            for one in judged:
                one.see(x)
                bar.advance(len(rows))
            _stop_if_asked(ctx)


# ---------------------------------------------------------------------- loss recovered


def _measure_loss(
    judged: list[Judged], item: Item, settings: EvaluateSettings, ctx: Context
) -> None:
    site = item.spec["settings"]["site"]
    model = load_model(item.spec["settings"]["model"], item.inputs.get("model"), ctx)
    if not (model.causal and model.replaceable(site)):
        ctx.log(f"{site}: the loss recovered is not defined here; left out")
        return
    corpus = Corpus.open(item.inputs["corpus"])
    batches = list(_batches(corpus, settings))
    with ctx.bar(len(batches) * (len(judged) + 2), "loss recovered", unit="passes") as bar:
        for tokens, special in batches:
            _one_batch(judged, model, site, tokens.to(ctx.device), special.to(ctx.device))
            bar.advance(len(judged) + 2)
            _stop_if_asked(ctx)


def _batches(corpus: Corpus, settings: EvaluateSettings) -> Iterator[tuple[Tensor, Tensor]]:
    """Tokens (b, t) int64 and marks (b, t) bool of leading contexts of the eval split."""
    first, last = corpus.splits["eval"]
    last = min(last, first + settings.contexts)
    offsets = np.asarray(corpus.offsets[first : last + 1], np.int64)
    begin, end = int(offsets[0]), int(offsets[-1])
    ids = np.asarray(corpus.flat(begin, end)).astype(np.int64)
    special = np.asarray(corpus.special[begin:end]).astype(bool)
    lengths = np.diff(offsets)
    for contexts in length_batches(lengths, settings.batch_tokens):
        places = (offsets[contexts] - begin)[:, None] + np.arange(lengths[contexts[0]])
        yield torch.from_numpy(ids[places]), torch.from_numpy(special[places])


@torch.inference_mode()
def _one_batch(
    judged: list[Judged], model: LoadedModel, site: str, tokens: Tensor, special: Tensor
) -> None:
    """Add one batch to every SAE's losses: predictions of a token from a token, marks aside."""
    counted = torch.zeros_like(special)
    counted[:, :-1] = ~special[:, :-1] & ~special[:, 1:]
    if not counted.any():
        return
    targets = tokens.roll(-1, dims=1)
    clean = Losses(forward_logits(model, tokens), targets, counted)

    def with_replaced(replace: Any) -> Losses:
        logits = forward_with_replacement(model, tokens, site, replace)
        return Losses(logits, targets, counted, clean.log_probabilities)

    ablated = with_replaced(lambda a: a * special[..., None])
    for one in judged:
        one.loss.update(clean, ablated, with_replaced(lambda a, one=one: one.replace(a, special)))


# ---------------------------------------------------------------------- results


def _write(one: Judged, settings: EvaluateSettings) -> dict[str, Any]:
    values: dict[str, float | None] = {
        **one.firing.results(settings.dense_above),
        **one.reconstruction.results(),
        **(one.loss.results() if one.loss.tokens else {}),
    }
    named = {f"{name}.v{METRICS_VERSION}": value for name, value in values.items()}
    about = {
        "metrics_version": METRICS_VERSION,
        "tokens": one.firing.tokens,
        "loss_tokens": one.loss.tokens,
    }
    histogram = one.firing.histogram()
    write_json({**named, **about, "density_histogram": histogram}, one.item.out / "metrics.json")
    table = pd.DataFrame(
        {
            "feature": np.arange(one.sae.d_sae, dtype=np.int32),
            "density": one.firing.densities,
            "n_fired": one.firing.counts,
            "mean_activation": one.firing.means.astype(np.float32),
        }
    )
    write_parquet(table, one.item.out / "density.parquet")
    return {**named, **about}

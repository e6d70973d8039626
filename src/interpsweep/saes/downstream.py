"""Gradients of a later site's probe, by the activations of a site, at single tokens."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from interpsweep.context import Context
from interpsweep.corpora.artifact import Corpus
from interpsweep.models.batches import length_batches
from interpsweep.models.forward import forward_gradient
from interpsweep.models.halving import Halving
from interpsweep.models.load import LoadedModel
from interpsweep.saes.ablation import integrated_gradients

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Downstream:
    """Integrated gradients through the part of a model between two sites.

    Contexts of one length share a pass, `batch_tokens` tokens at a time: what does is a function of
    the tokens asked for alone.
    """

    def __init__(
        self,
        model: LoadedModel,
        site: str,
        later: str,
        corpus: Corpus,
        batch_tokens: int,
        ctx: Context,
    ) -> None:
        model.bridge.requires_grad_(False)  # of weights; the activations' are all that is asked
        self._model, self._site, self._later = model, site, later
        self._corpus, self._batch_tokens = corpus, batch_tokens
        self._halving = Halving(ctx.device, ctx)

    def gradients(self, tokens: Ints, weights: Floats, carried: Floats, steps: int) -> Floats:
        """Mean gradients (m, d) of the logit that `weights` (d_later,) give at the later site.

        `tokens` (m,) are flat places in the corpus, `carried` (m, d) what latents add up to there;
        see `ablation.integrated_gradients`.
        """
        offsets = self._corpus.offsets
        context = np.searchsorted(offsets, tokens, side="right") - 1
        place = tokens - offsets[context]
        found = np.zeros_like(carried)
        logit = torch.tensor(weights, dtype=torch.float32, device=self._model.device)
        for batch in length_batches(np.diff(offsets)[context], self._batch_tokens):
            read = np.stack([self._corpus.tokens(c) for c in context[batch]]).astype(np.int64)
            gradient = self._gradient(torch.from_numpy(read), torch.from_numpy(place[batch]), logit)
            found[batch] = integrated_gradients(gradient, carried[batch], steps)
        return found

    def _gradient(
        self, tokens: torch.Tensor, places: torch.Tensor, logit: torch.Tensor
    ) -> Callable[[Floats], Floats]:
        """The gradient of a batch (b, t), by what is taken away (b, d) at its places (b,)."""
        device = self._model.device

        def at(shift: Floats) -> Floats:
            taken = torch.tensor(shift, dtype=torch.float32, device=device)

            def work(part: slice) -> torch.Tensor:
                return forward_gradient(
                    self._model, tokens[part].to(device), places[part].to(device), self._site,
                    taken[part], self._later, logit,
                )  # fmt: skip

            parts = self._halving.map(work, len(tokens), "take a machine with more")
            return torch.cat(parts).double().cpu().numpy()

        return at

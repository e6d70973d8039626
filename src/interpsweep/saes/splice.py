"""Loss recovered: next-token loss with the activations of a site replaced by reconstructions.

The SAEs of a site share the clean forward pass and the ablated one; each then costs one pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.linalg import vecdot
from transformer_lens.hook_points import HookPoint

from interpsweep.config.inference import EvaluateSettings
from interpsweep.corpora.artifact import Corpus
from interpsweep.models.batches import length_batches
from interpsweep.models.forward import forward_logits, forward_with_replacement
from interpsweep.models.load import LoadedModel

LOGIT_FLOATS = 1 << 22  # logits turned into probabilities at once
_TINY = 1e-12


class Losses:
    """Sums over the counted tokens of one forward pass, in nats."""

    def __init__(
        self, logits: Tensor, targets: Tensor, counted: Tensor, clean: CleanLosses | None = None
    ) -> None:
        """`logits` (b, t, v) predict `targets` (b, t) int64 where `counted` (b, t) is true.

        `kl` is the divergence from the predictions of the `clean` pass, 0 if that is not given.
        """
        self.ce = self.kl = 0.0
        self.tokens = int(counted.sum())
        flat, wanted = logits.flatten(0, 1), targets.flatten()
        places = counted.flatten().nonzero()[:, 0]
        rows = max(1, LOGIT_FLOATS // flat.shape[1])
        for number, part in enumerate(places.split(rows)):
            log_q = flat[part].float().log_softmax(-1)
            self.ce -= float(log_q.gather(1, wanted[part][:, None]).double().sum())
            self._see(log_q, None if clean is None else clean.parts[number])

    def _see(self, log_q: Tensor, clean: tuple[Tensor, Tensor] | None) -> None:
        """Take in a part's log probabilities (n, v), beside the clean pass' ones."""
        if clean is not None:
            p, negative_entropy = clean
            self.kl += float((negative_entropy - vecdot(p, log_q)).double().sum())


class CleanLosses(Losses):
    """The same of the untouched model, whose predictions are kept."""

    def __init__(self, logits: Tensor, targets: Tensor, counted: Tensor) -> None:
        # per part of the tokens: probabilities (n, v), and their sums of p log p (n,)
        self.parts: list[tuple[Tensor, Tensor]] = []
        super().__init__(logits, targets, counted)

    def _see(self, log_q: Tensor, clean: tuple[Tensor, Tensor] | None) -> None:
        p = log_q.exp()
        self.parts.append((p, vecdot(p, log_q)))


class LossRecovered:
    """Next-token loss with the clean, the zeroed and the reconstructed activations."""

    def __init__(self) -> None:
        self.tokens = 0
        self._ce_clean = self._ce_ablated = self._ce_sae = 0.0
        self._kl_ablated = self._kl_sae = 0.0

    def update(self, clean: Losses, ablated: Losses, sae: Losses) -> None:
        """Add a batch: sums over its tokens."""
        self.tokens += clean.tokens
        self._ce_clean += clean.ce
        self._ce_ablated += ablated.ce
        self._ce_sae += sae.ce
        self._kl_ablated += ablated.kl
        self._kl_sae += sae.kl

    def results(self) -> dict[str, float | None]:
        """Mean losses in nats per token, and the shares recovered."""
        n = self.tokens
        gap = self._ce_ablated - self._ce_clean
        kl = self._kl_ablated
        return {
            "ce_clean": self._ce_clean / n,
            "ce_ablated": self._ce_ablated / n,
            "ce_sae": self._ce_sae / n,
            "kl_ablated": kl / n,
            "kl_sae": self._kl_sae / n,
            "ce_recovered": (self._ce_ablated - self._ce_sae) / gap if abs(gap) > _TINY else None,
            "kl_recovered": (kl - self._kl_sae) / kl if kl > _TINY else None,
        }


class Batch(NamedTuple):
    """Contexts of one length."""

    tokens: Tensor  # (b, t) int64
    special: Tensor  # (b, t) bool: marks
    kept: Tensor  # (b, t) bool: never replaced, marks among them

    def part(self, contexts: slice, device: str) -> Batch:
        """Some of the contexts, on a device."""
        return Batch(*(values[contexts].to(device) for values in self))


def batches(corpus: Corpus, settings: EvaluateSettings, left_out: np.ndarray) -> Iterator[Batch]:
    """Leading contexts of the eval split; the flat tokens `left_out` (m,) are never replaced."""
    first, last = corpus.splits["eval"]
    last = min(last, first + settings.contexts)
    offsets = np.asarray(corpus.offsets[first : last + 1], np.int64)
    begin, end = int(offsets[0]), int(offsets[-1])
    ids = np.asarray(corpus.flat(begin, end)).astype(np.int64)
    special = np.asarray(corpus.special[begin:end]).astype(bool)
    kept = special.copy()
    kept[left_out[(left_out >= begin) & (left_out < end)] - begin] = True
    lengths = np.diff(offsets)
    for contexts in length_batches(lengths, settings.batch_tokens):
        places = (offsets[contexts] - begin)[:, None] + np.arange(lengths[contexts[0]])
        yield Batch(*(torch.from_numpy(values[places]) for values in (ids, special, kept)))


class Passes:
    """Forward passes over one batch: predictions of a token from a token, marks aside."""

    @torch.inference_mode()
    def __init__(self, model: LoadedModel, site: str, batch: Batch) -> None:
        tokens, special, self.kept = batch
        self._model, self._site, self._tokens = model, site, tokens
        self._targets = tokens.roll(-1, dims=1)
        self._counted = torch.zeros_like(special)
        self._counted[:, :-1] = ~special[:, :-1] & ~special[:, 1:]
        self.clean = CleanLosses(forward_logits(model, tokens), self._targets, self._counted)
        self.ablated = self.replaced(lambda here, _: here * self.kept[..., None])

    @torch.inference_mode()
    def replaced(
        self, replace: Callable[[Tensor, Tensor], Tensor], source: str | None = None
    ) -> Losses:
        """Losses with ``replace(activations, read)`` (b, t, d) in place of the site's activations.

        `read` are those of an earlier site, `source`; without one the same activations.
        """
        read: dict[str, Tensor] = {}

        def look(activations: Tensor, hook: HookPoint) -> None:
            read["source"] = activations.flatten(2).clone()

        with self._model.hooked({} if source is None else {source: look}):
            logits = forward_with_replacement(
                self._model,
                self._tokens,
                self._site,
                lambda here: replace(here, read.get("source", here)),
            )
        return Losses(logits, self._targets, self._counted, self.clean)

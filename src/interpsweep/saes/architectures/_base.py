"""What every architecture provides to the trainer, and what most of them share.

The trainer owns data order, optimiser, schedules, dead latents, checkpoints and logs. An
architecture owns its weights, the loss with its gradients, and how it is exported. It works on
scaled activations; `export` speaks of unscaled ones.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from interpsweep.config.saes import TrainSettings
from interpsweep.saes.kernels import reconstruct, sparse_gradients, top_columns
from interpsweep.saes.optimiser import normalise_rows


@dataclass
class Step:
    """What one batch gave. All tensors stay on the device; nothing here waits for it."""

    loss: Tensor  # () the whole objective, mean over the batch
    squared_error: Tensor  # () mean over the batch of the squared error summed over dimensions
    fired: Tensor  # (d_sae,) int64: rows of the batch in which each latent is positive
    gradients: dict[str, Tensor]  # one for each of `Architecture.parameters`


@dataclass
class Export:
    """An SAE as inference sees it: arguments of `saes.artifact.write_dictionary`."""

    architecture: str
    tensors: dict[str, Tensor]
    extra: dict[str, Any]
    metadata: dict[str, Any] = field(default_factory=dict)  # for cfg.json


class Products(Protocol):
    """Products of the transpose of a (batch, d_sae) matrix, given by its values at some places."""

    def transposed_product(self, values: Tensor, right: Tensor, out: Tensor) -> Tensor:
        """``values.T @ right``, (d_sae, d), into `out` where that is faster."""
        ...

    def column_sums(self, values: Tensor) -> Tensor:
        """Sum over the batch, (d_sae,)."""
        ...


class Architecture(ABC):
    """Weights, loss, gradients and export of one kind of SAE.

    `parameters` (what the optimiser moves) holds ``encoder`` (d_sae, d_in), ``decoder``
    (d_sae, d_out), ``b_enc`` (d_sae,) and ``b_dec`` (d_out,), plus what a subclass adds; `buffers`
    holds other state that a checkpoint must keep. All are float32 masters.

    An SAE reconstructs what it reads: d_out is d_in, and the encoder reads ``x - b_dec``. A
    transcoder (`settings.output_site`) predicts other activations, and its encoder reads x itself.
    """

    initial_norm: ClassVar[float] = 1.0  # of rows; an SAE's encoder starts as its decoder's copy

    def __init__(
        self,
        settings: TrainSettings,
        d_in: int,
        device: str,
        d_out: int | None = None,
        place: str = "",
    ) -> None:
        """`place` names what the SAE is trained on; together with seed and width it chooses the
        first directions."""
        self.settings, self.d_in, self.d_sae = settings, d_in, settings.d_sae
        self.d_out = d_in if d_out is None else d_out
        self.transcodes = d_out is not None
        generator = torch.Generator().manual_seed(self._first_seed(place))

        def rows(width: int) -> Tensor:
            drawn = torch.randn(self.d_sae, width, generator=generator)
            return self.initial_norm * drawn / drawn.norm(dim=1, keepdim=True)

        decoder = rows(self.d_out)
        encoder = rows(d_in) if self.transcodes else decoder.clone()
        self.parameters: dict[str, Tensor] = {
            "encoder": encoder.to(device),
            "decoder": decoder.to(device),
            "b_enc": torch.zeros(self.d_sae, device=device),
            "b_dec": torch.zeros(self.d_out, device=device),
        }
        self.buffers: dict[str, Tensor] = {}
        self._gradients: dict[str, Tensor] = {}
        self.set_up(device)

    def set_up(self, device: str) -> None:  # noqa: B027 - most have none
        """Add the parameters and buffers that not every SAE has."""

    def _first_seed(self, place: str) -> int:
        """Of the random rows: SAEs of one seed that will be matched with each other must not start
        as copies, or their likeness is that of their beginnings."""
        text = f"{self.settings.seed}/{self.d_sae}/{place}"
        return int.from_bytes(sha256(text.encode()).digest()[:7], "big")

    def gradient_of(self, name: str) -> Tensor:
        """Memory for a parameter's gradient, the same in every step: new pages are slow."""
        if name not in self._gradients:
            self._gradients[name] = torch.empty_like(self.parameters[name])
        return self._gradients[name]

    @abstractmethod
    def step(self, x: Tensor, target: Tensor, progress: float, dead: Tensor | None) -> Step:
        """Loss and gradients on scaled activations: `x` (batch, d_in) is read, `target` wanted.

        `target` (batch, d_out) is `x` for an SAE. `progress` in [0, 1) is the share of the training
        that is over; `dead` (d_sae,) bool marks latents for the auxiliary loss, None if there are
        none.
        """

    def after_update(self) -> None:
        """Restore whatever must hold for the weights; called after each optimiser step."""
        normalise_rows(self.parameters["decoder"])

    @abstractmethod
    def export(self, scale: float) -> Export:
        """The SAE for unscaled activations, where the training saw ``scale * x``."""

    def rate_factor(self, name: str) -> float:
        """What the learning rate of a parameter is multiplied with."""
        return 1.0

    def centre_input(self, centre: Tensor) -> None:
        """Start a transcoder as if its encoder read ``x - centre`` (d_in,), as an SAE's does."""
        self.parameters["b_enc"].copy_(-(self.parameters["encoder"] @ centre))

    def sides(self, x: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """What the encoder's matrix reads, and what the decoder's is to make of it."""
        wanted = target - self.parameters["b_dec"]
        return (x, wanted) if self.transcodes else (wanted, wanted)

    def bias_gradient(self, direct: Tensor, to_pre: Tensor) -> Tensor:
        """Gradient of b_dec from those of the output (d_out,) and of the pre-activations (d_sae,),
        both summed over the batch."""
        return direct if self.transcodes else direct - to_pre @ self.parameters["encoder"]

    def weight_gradients(
        self, entries: Products, acts: Tensor, to_pre: Tensor, centred: Tensor, upstream: Tensor
    ) -> dict[str, Tensor]:
        """Gradients of the weights and biases that every SAE has.

        `acts` and `to_pre` (the loss by the pre-activations) have a value for each entry; `centred`
        (batch, d_in) is what the encoder reads, `upstream` (batch, d_out) the loss by the output.
        """
        b_enc = entries.column_sums(to_pre)
        return {
            "encoder": entries.transposed_product(to_pre, centred, self.gradient_of("encoder")),
            "decoder": entries.transposed_product(acts, upstream, self.gradient_of("decoder")),
            "b_enc": b_enc,
            "b_dec": self.bias_gradient(upstream.sum(0), b_enc),
        }

    def unscaled(self, scale: float) -> dict[str, Tensor]:
        """Weights and biases for unscaled activations, under the names of the field."""
        p = self.parameters
        return {
            "W_enc": p["encoder"].T,
            "W_dec": p["decoder"],
            "b_enc": p["b_enc"] / scale,
            "b_dec": p["b_dec"] / scale,
        }

    def coefficient(self, progress: float) -> float:
        """Share in [0, 1] of the sparsity penalty that counts at this point of the training."""
        s = self.settings
        rising = progress / s.sparsity_warm_up if s.sparsity_warm_up else 1.0
        falling = (1 - progress) / s.sparsity_decay if s.sparsity_decay else 1.0
        return min(1.0, rising, falling)

    def auxiliary(
        self, centred: Tensor, residual: Tensor, dead: Tensor, gradients: dict[str, Tensor]
    ) -> Tensor:
        """AuxK of Gao et al. 2024 (arXiv 2406.04093, A.2): dead latents model the residual.

        Adds the gradients of ``c * mean ||residual - decode(top auxiliary_k dead latents)||^2``
        (residual held fixed) to `gradients`; returns that loss. Arrays: what the encoder reads
        (batch, d_in), residual (batch, d_out), dead (d_sae,) bool.
        """
        which = dead.nonzero()[:, 0]
        s = self.settings
        usual = round(s.sparsity) if s.counts_latents else self.d_in // 2
        k = min(s.auxiliary_k or max(1, usual), len(which))
        encoder, bias = self.parameters["encoder"][which], self.parameters["b_enc"][which]
        chosen = top_columns(centred, encoder, bias, k)
        chosen = chosen._replace(columns=which[chosen.columns])
        fit = reconstruct(chosen, self.parameters["decoder"], residual)
        factor = s.auxiliary_coefficient / len(centred)
        outs = gradients["encoder"], gradients["decoder"]
        sums, _ = sparse_gradients(chosen, fit, centred, 2 * factor, *outs, add=True)
        gradients["b_enc"].add_(sums)
        if not self.transcodes:
            gradients["b_dec"].sub_(sums @ self.parameters["encoder"])
        return factor * fit.squared.sum()

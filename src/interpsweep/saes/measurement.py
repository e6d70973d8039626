"""What is measured of one SAE while a site is evaluated."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from interpsweep.context import Item
from interpsweep.saes.breakdown import Groups, add
from interpsweep.saes.load import LoadedSAE, encode_parts
from interpsweep.saes.metrics import FiringCounts, Reconstruction, Truth
from interpsweep.saes.splice import Losses, LossRecovered, Passes


class Unsound(Exception):
    """An SAE gives numbers that are not finite."""


@dataclass
class Measurement:
    """One item with its SAE and what has been measured of it."""

    item: Item
    sae: LoadedSAE
    groups: dict[str, Groups]
    loss: LossRecovered = field(default_factory=LossRecovered)

    def __post_init__(self) -> None:
        device = self.sae.b_dec.device
        self.reconstruction = Reconstruction(self.sae.d_out, device)
        self.left_out = Reconstruction(self.sae.d_out, device)
        self.firing = FiringCounts(self.sae.d_sae, device)
        self.sums = {
            by: torch.zeros(len(groups), 2, dtype=torch.float64, device=device)
            for by, groups in self.groups.items()
        }

    @torch.inference_mode()
    def see(self, x: Tensor, truth: Truth, members: dict[str, Tensor]) -> None:
        """Measure what the SAE makes of `x` (n, d_in) against the truth.

        `members` (g, n) says which group of each kind the activations are in.
        """
        hats, active = [], []
        for part, codes in encode_parts(self.sae, x):
            hats.append(self.sae.reconstruct(part, codes))
            active.append(self.firing.update(codes))
        errors = self.reconstruction.update(truth, torch.cat(hats))
        bad = (~errors.isfinite()).nonzero()
        if len(bad):
            rows = f"rows {truth.row}..{truth.row + len(truth)}"
            raise Unsound(
                f"{self.item.inputs['sae']}: the reconstruction of {len(bad)} of {rows} of the "
                f"activations is not finite (first: row {truth.row + int(bad[0])})"
            )
        per_token = torch.cat(active)
        for by, sums in self.sums.items():
            add(sums, members[by], errors, per_token)

    @torch.inference_mode()
    def see_left_out(self, x: Tensor, truth: Truth) -> None:
        """Measure the reconstruction of activations that a mask leaves out."""
        hats = [self.sae.reconstruct(part, codes) for part, codes in encode_parts(self.sae, x)]
        self.left_out.update(truth, torch.cat(hats))

    @torch.inference_mode()
    def replace(self, activations: Tensor, read: Tensor, kept: Tensor) -> Tensor:
        """Activations (b, t, d_out) with what the SAE makes of `read` (b, t, d_in).

        Places that are `kept` (b, t) stay as they are.
        """
        flat = read[~kept].float()
        hats = [self.sae.reconstruct(part, codes) for part, codes in encode_parts(self.sae, flat)]
        replaced = activations.clone()
        replaced[~kept] = torch.cat(hats).to(activations.dtype)
        return replaced

    def splice(self, passes: Passes) -> Losses:
        """The loss of one batch with reconstructions at all places that may be replaced."""
        settings = self.item.spec["settings"]
        source = settings["site"] if "output_site" in settings else None
        return passes.replaced(lambda here, read: self.replace(here, read, passes.kept), source)

    def add(self, passes: Passes, losses: dict[str, Losses]) -> None:
        """Count the loss of one batch, out of those of all items."""
        mine = losses[self.item.digest]
        if not math.isfinite(mine.ce + mine.kl):
            raise Unsound(
                f"{self.item.inputs['sae']}: the model's loss is not finite with this SAE's "
                "reconstructions in place of the activations"
            )
        self.loss.update(passes.clean, passes.ablated, mine)

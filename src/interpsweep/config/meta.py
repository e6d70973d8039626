"""Settings of the stage `meta`: an SAE trained on the decoder rows of an SAE."""

from __future__ import annotations

from interpsweep.config.base import Section, field


class MetaSettings(Section):
    """Which directions the directions of a dictionary are composed of (Leask et al. 2025)."""

    enabled: bool = field(True, "Whether meta-SAEs are trained at all.")
    share: float = field(
        0.25, "Meta-latents per latent of the SAE (SAEBench takes a quarter).", gt=0, le=1
    )
    k: int = field(
        4, "Meta-latents that a decoder row is composed of, on average.", unit="latents", ge=1
    )
    steps: int = field(750, "Optimiser steps.", unit="steps", ge=1)
    batch_size: int = field(
        512, "Decoder rows in one step, at most all of them.", unit="rows", ge=1
    )
    seed: int = field(0, "Seed of the initial weights, the order of rows and the null.", ge=0)

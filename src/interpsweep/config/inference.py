"""Settings of what is done with finished SAEs: their evaluation, and their codes."""

from __future__ import annotations

from interpsweep.config.base import Section, field


class EvaluateSettings(Section):
    """How SAEs are judged on the held-out split."""

    rows: int | None = field(
        1_000_000,
        "Held-out activations used for L0, explained variance and densities; null takes all.",
        unit="tokens",
        gt=0,
    )
    contexts: int = field(
        256,
        "Held-out contexts used for the loss recovered (causal models only); 0 skips it.",
        unit="contexts",
        ge=0,
    )
    batch_tokens: int = field(2048, "Tokens in one forward pass.", unit="tokens", gt=0)
    dense_above: float = field(
        0.1,
        "A latent that fires on more than this share of the tokens counts as dense.",
        gt=0,
        lt=1,
    )
    duplicate_above: float = field(
        0.9,
        "A latent whose decoder row has a larger cosine than this with that of another one counts "
        "as a duplicate.",
        gt=0,
        lt=1,
    )


class EncodeSettings(Section):
    """Sparse codes of the analysis split, and the contexts in which each latent fires most."""

    contexts: int | None = field(
        None,
        "Leading contexts of the analysis split that are encoded; null takes all.",
        unit="contexts",
        gt=0,
    )
    threshold: float = field(
        0.0,
        "Activations (times the decoder norm) up to this value are dropped from the codes.",
        ge=0,
    )
    top_contexts: int = field(
        20, "Contexts kept for each latent, strongest first.", unit="contexts", ge=1, le=1000
    )
    window_before: int = field(
        12, "Tokens shown before the one where the latent fires.", unit="tokens", ge=0
    )
    window_after: int = field(6, "Tokens shown after it.", unit="tokens", ge=0)

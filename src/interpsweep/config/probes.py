"""Settings of the stage `probe`: absorption as probes of labelled concepts see it."""

from __future__ import annotations

from typing import Literal

from pydantic import field_validator

from interpsweep.config.base import Section, field


class ProbesSettings(Section):
    """Probes of labelled concepts, an option: k-sparse probing, and absorption as probes see it."""

    methods: tuple[Literal["sparse", "projection", "ablation"], ...] = field(
        (),
        "Which measures are taken: 'sparse', k-sparse probing, how well a few latents say where a "
        "value is; 'projection', the absorption of SAEBench, on activations alone; 'ablation', "
        "that of sae-spelling, by integrated gradients of a probe at the next site that the sweep "
        "has further on in the model. Empty: none.",
    )
    sparse_latents: tuple[int, ...] = field(
        (1, 2, 5), "How many latents a probe of 'sparse' reads, one probe for each.", min_length=1
    )
    concepts: tuple[str, ...] = field(
        (), "Labelled concepts of the corpus that are probed; empty takes all."
    )
    first_letters: bool = field(
        False, "Probe the first letter of the word that begins at a token as well."
    )
    min_tokens: int = field(
        50, "A value with fewer labelled tokens is left out.", unit="tokens", ge=10
    )
    tokens: int = field(
        20_000, "Most labelled tokens of a concept, drawn at random.", unit="tokens", ge=100
    )
    ridge: float = field(1e-3, "Ridge of the probes on standardised activations.", gt=0)
    sparsity: float = field(
        1.0, "Inverse L1 penalty of the probe on latents that ranks them (liblinear's C).", gt=0
    )
    split_gain: float = field(
        0.03, "Gain of held-out F1 for which another latent counts as a main latent.", ge=0
    )
    most_main: int = field(10, "Most main latents of a value.", unit="latents", ge=1)
    least_f1: float = field(
        0.6, "Values whose probe has a lower held-out F1 count in no mean.", ge=0, le=1
    )
    share: float = field(
        0.4, "Share of the probe's projection that absorbers must carry.", gt=0, le=1
    )
    absorbers: int = field(3, "Most absorbers of one token.", unit="latents", ge=1)
    absorber_cosine: float = field(
        0.1, "Smallest cosine of an absorber with the probe in the absorbed fraction.", ge=0, le=1
    )
    top_cosine: float = field(
        0.025, "The same of the latent that absorbs a token fully.", ge=0, le=1
    )
    ablated: int = field(
        200,
        "Most tokens of a value, and of a random concept, that are attributed for 'ablation'.",
        unit="tokens",
        ge=1,
    )
    steps: int = field(6, "Steps of the integrated gradients.", ge=1)
    margin: float = field(
        0.2,
        "Ablation of the absorber costs this much more of the judge's logit than that of any other "
        "latent, as a share of what the value is worth: of the mean difference of that logit "
        "between tokens with and without it.",
        ge=0,
    )
    batch_tokens: int = field(
        2048, "Tokens in one forward pass with gradients.", unit="tokens", gt=0
    )
    draws: int = field(19, "Random directions behind the null of one concept.", unit="draws", ge=1)
    seed: int = field(0, "Seed of the samples and of the random directions.", ge=0)

    @field_validator("sparse_latents")
    @classmethod
    def _ascending(cls, ks: tuple[int, ...]) -> tuple[int, ...]:
        if list(ks) != sorted(set(ks)) or ks[0] < 1:
            raise ValueError("must be numbers of latents, 1 or more, each larger than the last")
        return ks

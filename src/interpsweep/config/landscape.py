"""Settings of the stage `landscape`: measures of a dictionary as a whole."""

from __future__ import annotations

from interpsweep.config.base import Section, field


class LandscapeSettings(Section):
    """Spectrum, packing, isotropy, and what co-firing says about a dictionary's angles."""

    enabled: bool = field(True, "Whether dictionaries are measured as wholes at all.")
    min_firings: int = field(30, "A latent with fewer firings is left out.", unit="tokens", ge=1)
    firing_level: float = field(
        0.2,
        "Share of its largest activation above which a latent counts as firing.",
        ge=0,
        lt=1,
    )
    latents: int = field(
        1024, "Most latents, drawn at random, of measures over all pairs.", unit="latents", ge=32
    )
    block: int = field(
        256, "Neighbouring tokens in which latents of one lobe fire together.", unit="tokens", ge=1
    )
    lobes: tuple[int, ...] = field((2, 4, 8), "Numbers of lobes that are compared.")
    draws: int = field(199, "Permutations behind each p.", unit="draws", ge=19)
    dictionaries: int = field(
        39, "Random dictionaries behind each p of directions alone.", unit="draws", ge=3
    )
    seed: int = field(0, "Seed of all draws.", ge=0)

"""Settings of the stage `intervene`: what a model says when a value in its activations changes."""

from __future__ import annotations

from typing import Literal

from pydantic import field_validator

from interpsweep.config.base import Section, field


class InterveneSettings(Section):
    """Acting on the planes of labelled concepts in a forward pass (an option; decoders only)."""

    actions: tuple[Literal["shift", "ablate"], ...] = field(
        (),
        "What is done at the labelled tokens of prompts: 'shift', they get the coordinates of "
        "another value, `steps` on around the circle or along the line; 'ablate', those of the "
        "mean over values. Empty: nothing.",
    )
    steps: tuple[int, ...] = field(
        (1, 2, 3), "By how many values 'shift' goes on, one after the other.", min_length=1
    )
    concepts: tuple[str, ...] = field(
        (), "Labelled concepts that are acted on; empty takes all that there are prompts for."
    )
    prompts: int = field(2, "Prompts of each form and value.", unit="prompts", ge=1)
    draws: int = field(99, "Random directions behind the null of one action.", unit="draws", ge=19)
    batch_tokens: int = field(4096, "Most tokens in one forward pass.", unit="tokens", gt=0)
    seed: int = field(0, "Seed of the prompts and of the random directions.", ge=0)

    @field_validator("steps")
    @classmethod
    def _moves(cls, steps: tuple[int, ...]) -> tuple[int, ...]:
        if 0 in steps or len(set(steps)) < len(steps):
            raise ValueError("must be different numbers of values, none of them 0")
        return steps

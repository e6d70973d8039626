"""Settings of stage ``capture``: how activations are computed and how they lie on disk."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import field_validator

from interpsweep.config.base import Section, field
from interpsweep.config.sites import expand_sites


class CaptureSettings(Section):
    """How activations are computed and stored: the section `capture` of a config."""

    dtype: Literal["float16", "bfloat16", "float32"] = field(
        "float16", "Numbers on disk. float16 is exact to 0.05 %, up to 65504; beyond, take bfloat16"
    )
    chunk_rows: int = field(
        32768,
        "Rows in one chunk: the unit of writing, of resuming and of shuffled reading. Aim at tens "
        "of megabytes",
        unit="rows",
        ge=16,
        le=1 << 22,
    )
    batch_tokens: int = field(
        4096,
        "Tokens in one forward pass. Part of the identity: the last bits of an activation depend "
        "on the shape of its batch",
        unit="tokens",
        ge=1,
    )
    window_tokens: int = field(
        32768,
        "Contexts of equal length are batched together within stretches of the corpus of this size",
        unit="tokens",
        ge=1,
    )


class CaptureItem(CaptureSettings):
    """The settings of one item of stage ``capture``: one site of one model on one corpus."""

    model: dict[str, Any] = field(description="Identity of the model")
    site: str = field(description="Hook name")

    @field_validator("site")
    @classmethod
    def _one_site(cls, site: str) -> str:
        if expand_sites([site]) != (site,):
            raise ValueError("one site per item")
        return site

"""Settings of stage ``mask``: which of the captured rows are used."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from interpsweep.config.base import Section, field


class MaskSettings(Section):
    """Which captured rows are used, by everything that reads activations. Nothing is captured
    again when this changes.

    Models that predict the next token keep a few massive activations that carry no meaning: at the
    first token of a context, at some separators. A row of a hundred times the usual norm counts ten
    thousand times in a squared error.
    """

    positions: Annotated[int, Field(ge=0)] | Literal["auto"] = field(
        "auto",
        "Leading positions of every context that are left out, marks such as BOS counted in; auto: "
        "1 where the model predicts the next token, else 0",
        unit="tokens",
    )
    norm: Annotated[float, Field(gt=1)] | Literal["auto"] | None = field(
        "auto",
        "Rows are left out whose norm is above this many times the median norm of the analysis "
        "split; auto: 10 where the model predicts the next token, else null; null keeps all",
    )
    tokens: tuple[Annotated[int, Field(ge=0)] | str, ...] = field(
        (),
        "Tokens that are left out wherever they stand: ids, or texts that are one token each",
    )
    statistics_rows: int = field(
        131072,
        "Mean, second moment and norms are computed over about this many rows of the train split: "
        "whole chunks, spread evenly over it; over all of it if it has fewer",
        unit="rows",
        ge=1,
    )

"""Sizes of a planned item, which its work and memory are told from.

Arithmetic of the estimates in the records: a forward pass costs 2 FLOP per parameter and token, a
training step three times that; an SAE costs 12 * d_in * d_sae FLOP per token to train (forward 4,
backward 8) and 4 to encode. What is no matrix product (matching, trees, the census, the overhead of
a step) is given in seconds of one processor core; its factors were measured on sweeps over MiniLM
and over the default model. Bytes are counted from the arrays that a stage holds at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

from interpsweep.spec import input_digests

MB = 1e6
BYTES = {"float16": 2, "bfloat16": 2, "float32": 4}
CODE_BYTES = 8  # a column index and a value
TYPICAL_L0 = 50  # active latents per token, where the sparsity is not a count


@dataclass(frozen=True)
class Shape:
    """Size of a model as far as its configuration tells it; zeros where it does not."""

    d_model: int = 0
    parameters: int = 0
    vocabulary: int = 0


@dataclass(frozen=True)
class Work:
    """What one item takes. `seconds` of one core are for everything but matrix products."""

    tokens: int = 0
    bytes: int = 0
    flop: float = 0.0
    seconds: float = 0.0


class Planned(Protocol):
    """An item of a plan, as far as its sizes need it."""

    @property
    def spec(self) -> dict[str, Any]:
        """What determines it."""

    @property
    def stage(self) -> str:
        """The stage that makes it."""


@dataclass(frozen=True)
class Sizes:
    """One item among all of its plan, the shape of its model, and the workers of its job."""

    item: Planned
    items: Mapping[str, Planned]  # of the whole plan, by digest
    shape: Shape
    workers: int = 1

    @property
    def settings(self) -> dict[str, Any]:
        """The settings in the item's spec."""
        return self.item.spec["settings"]

    @cached_property
    def inputs(self) -> int:
        """How many items it reads."""
        return len(input_digests(self.item.spec))

    @cached_property
    def corpus(self) -> dict[str, Any]:
        """The settings of the corpus behind it."""
        if self.item.stage == "corpus":
            return self.settings
        item = self.item
        while "corpus" not in item.spec["inputs"]:  # it is behind any of them
            behind = input_digests(item.spec)
            if not behind or behind[0] not in self.items:
                return {}
            item = self.items[behind[0]]
        corpus = self.items.get(item.spec["inputs"]["corpus"])
        return corpus.spec["settings"] if corpus else {}

    @property
    def tokens(self) -> int:
        """Tokens of that corpus."""
        return self.corpus.get("n_tokens", 0)

    @cached_property
    def rows(self) -> int:
        """Rows of its analysis split (at most: special tokens are not counted out)."""
        return int(self.tokens * self.corpus.get("analysis_share", 0))

    @cached_property
    def saes(self) -> list[Planned]:
        """The SAEs that the item is about: itself, or its inputs."""
        if "d_sae" in self.settings:
            return [self.item]
        inputs = self.item.spec["inputs"]
        one = [inputs[role] for role in ("sae", "a", "b") if role in inputs]
        return [self.items[digest] for digest in [*one, *inputs.get("saes", ())]]

    @cached_property
    def widths(self) -> list[int]:
        """Latents of each of them."""
        return [d_sae(sae) for sae in self.saes]

    @property
    def width(self) -> int:
        """Latents of all of them together."""
        return sum(self.widths)

    @property
    def cells(self) -> int:
        """Entries of all their decoders."""
        return self.shape.d_model * self.width

    @cached_property
    def l0(self) -> float:
        """Active latents per token of the densest of them, as far as the settings tell."""
        return max(map(_active, self.saes))

    @property
    def entries(self) -> float:
        """Entries of the codes of the analysis split."""
        return self.rows * self.l0

    @cached_property
    def chunk(self) -> float:
        """Numbers in one chunk of the activations that the item reads, or that it is."""
        acts = self.item.spec["inputs"].get("activations")
        settings = self.settings if acts is None else self.items[acts].spec["settings"]
        return settings["chunk_rows"] * self.shape.d_model

    @property
    def model_bytes(self) -> float:
        """Bytes of the model with its embeddings, and as much again to work with."""
        shape = self.shape
        return 8.0 * (shape.parameters + 2 * shape.vocabulary * shape.d_model)

    def of(self, item: Planned) -> Sizes:
        """The sizes of another item of the plan."""
        return Sizes(item, self.items, self.shape, self.workers)


def d_sae(sae: Planned) -> int:
    """Latents of an SAE."""
    return int(sae.spec["settings"]["d_sae"])


def _active(sae: Planned) -> float:
    from interpsweep.config.saes import TrainSettings  # while planning only

    settings = sae.spec["settings"]
    counts = sae.stage == "import" or TrainSettings(**settings).counts_latents
    return settings["sparsity"] if counts else TYPICAL_L0

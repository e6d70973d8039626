"""Settings of SAEs: how they are trained, and the axes of the sweep."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError, field_validator, model_validator

from interpsweep.config.base import Section, field
from interpsweep.config.sites import site_layer
from interpsweep.errors import nearest

# A new architecture is one file in this folder; its name is the name users write.
_ARCHITECTURE_FILES = Path(__file__).parent.parent / "saes" / "architectures"
ARCHITECTURES = tuple(
    sorted(p.stem for p in _ARCHITECTURE_FILES.glob("*.py") if not p.stem.startswith("_"))
)
TOP_K = ("topk", "batchtopk", "matryoshka")  # their sparsity is a whole number of latents

# Settings of all architectures that some do not read: left out of those SAEs' identity. A setting
# named after an architecture (`jumprelu_...`) belongs to that one alone.
_AUXILIARY = ("auxiliary_coefficient", "auxiliary_k")
_PENALTY = ("sparsity_warm_up", "sparsity_decay")
_UNREAD = {
    **dict.fromkeys(TOP_K, (*_PENALTY, "precision")),
    "relu": _AUXILIARY,
    "gated": _AUXILIARY,
}


class TrainCommon(Section):
    """What every SAE of a sweep shares unless an axis entry overrides it."""

    tokens: int = field(
        4_000_000,
        "Activations that each SAE sees, over as many epochs as needed.",
        unit="tokens",
        gt=0,
    )
    batch_size: int = field(2048, "Activations in one optimiser step.", unit="tokens", gt=0)
    stream_seed: int = field(
        0, "Seed of the data order; SAEs with the same one share each batch.", ge=0
    )
    block_chunks: int = field(
        8,
        "Chunks of activations whose rows are mixed with each other in memory (it holds three such "
        "blocks). More of them, or smaller chunks, make batches more alike where documents are "
        "long.",
        unit="chunks",
        ge=1,
    )
    output_site: str | None = field(
        None,
        "Site to predict from the one that is read, which makes a transcoder; `{layer}` stands for "
        "the layer of the latter, as in `blocks.{layer}.hook_mlp_out`. null, or the site that is "
        "read: an SAE.",
        min_length=1,
    )
    learning_rate: float | None = field(
        None,
        "Peak learning rate of Adam; null takes 2e-4 * sqrt(16384 / d_sae), at most 2e-3 "
        "(the scaling of Gao et al. 2024).",
        gt=0,
    )
    warm_up: float = field(
        0.02, "Share of the steps over which the learning rate rises from zero.", ge=0, le=1
    )
    decay: float = field(
        0.2,
        "Share of the steps, at the end, over which the learning rate falls to zero.",
        ge=0,
        le=1,
    )
    sparsity_warm_up: float = field(
        0.1,
        "Share of the steps over which a sparsity penalty (relu, gated, jumprelu) rises from zero.",
        ge=0,
        le=1,
    )
    sparsity_decay: float = field(
        0.0,
        "Share of the steps, at the end, over which that penalty falls to zero: less shrinkage, "
        "more active latents.",
        ge=0,
        le=1,
    )
    auxiliary_coefficient: float = field(
        1 / 32,
        "Weight of the loss by which dead latents model the residual (AuxK, Gao et al. 2024).",
        ge=0,
    )
    auxiliary_k: int | None = field(
        None,
        "Dead latents active per token in the auxiliary loss; null takes `sparsity` where that "
        "is a number of latents, else d_in / 2.",
        unit="latents",
        gt=0,
    )
    dead_after: int | None = field(
        None,
        "A latent that has not fired for this long counts as dead; null takes a twentieth of the "
        "training, at most 1,000,000.",
        unit="tokens",
        gt=0,
    )
    decoder_bias: Literal["mean", "geometric_median", "zero"] = field(
        "mean", "What the decoder bias starts from: a centre of the activations, or zero."
    )
    scale_activations: Literal["norm", "variance", "none"] = field(
        "norm",
        "Activations are multiplied during training so that their mean norm ('norm', as SAELens "
        "does) or the root of their total variance ('variance') is sqrt(d_in); exported weights "
        "work on unscaled activations.",
    )
    gradient_clip: float | None = field(
        1.0, "Largest norm of an SAE's gradient; null never clips.", gt=0
    )
    precision: Literal["float32", "bfloat16"] = field(
        "float32",
        "Number format of the matrix products of a relu, gated or jumprelu SAE while many of its "
        "latents are active. bfloat16 is faster where a CPU multiplies it (AMX, AVX-512 BF16) and "
        "rounds differently on each kind of CPU. Everything else, and all of topk, batchtopk and "
        "matryoshka, is float32 in any case.",
    )
    jumprelu_penalty: Literal["target", "l0", "tanh"] = field(
        "target",
        "What jumprelu adds to the squared error: 'target' 10 * d_in * (L0 / sparsity - 1)^2, so "
        "that `sparsity` is the L0 to reach; 'l0' sparsity * L0; 'tanh' sparsity * sum of "
        "tanh(4 * activation).",
    )
    jumprelu_bandwidth: float = field(
        0.2,
        "Width of the window around its threshold in which a pre-activation moves it, on "
        "activations scaled to norm sqrt(d_in).",
        gt=0,
    )
    matryoshka_levels: tuple[float, ...] = field(
        (0.0625, 0.125, 0.25, 0.5, 1.0),
        "Nested widths as shares of d_sae, ascending to 1: the leading latents of each must "
        "reconstruct by themselves.",
        min_length=1,
    )
    log_points: int = field(100, "Rows of the training log.", unit="rows", ge=1, le=10_000)

    @model_validator(mode="after")
    def _schedule(self) -> TrainCommon:
        if self.warm_up + self.decay > 1:
            raise ValueError("warm_up + decay must be at most 1: both are shares of the steps")
        if self.sparsity_warm_up + self.sparsity_decay > 1:
            raise ValueError("sparsity_warm_up + sparsity_decay must be at most 1")
        return self

    @field_validator("matryoshka_levels")
    @classmethod
    def _ascending(cls, levels: tuple[float, ...]) -> tuple[float, ...]:
        if levels[0] <= 0 or levels[-1] != 1 or any(a >= b for a, b in pairwise(levels)):
            raise ValueError("matryoshka_levels must ascend from above 0 and end with 1")
        return levels


def nested_widths(levels: Iterable[float], d_sae: int) -> list[int]:
    """Latents of every nested level of a Matryoshka SAE, ascending to `d_sae`."""
    return sorted({max(1, round(share * d_sae)) for share in levels})


class TrainSettings(TrainCommon):
    """Everything that determines one SAE, beside its activations."""

    architecture: str = field(
        "topk", f"Architecture of the SAE: one of {', '.join(ARCHITECTURES)}."
    )
    d_sae: int = field(..., "Number of latents.", unit="latents", gt=0)
    sparsity: float = field(
        ...,
        "topk: active latents per token; batchtopk, matryoshka, jumprelu: the same on average; "
        "relu, gated: coefficient of the L1 penalty (decoder-norm weighted, on scaled activations, "
        "against the squared error summed over dimensions).",
        gt=0,
    )
    seed: int = field(0, "Seed of the initial weights.", ge=0)

    @field_validator("architecture")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in ARCHITECTURES:
            known = ", ".join(ARCHITECTURES)
            raise ValueError(
                f"no architecture {name!r}{nearest(name, ARCHITECTURES)}; known: {known}"
            )
        return name

    @model_validator(mode="after")
    def _sparsity(self) -> TrainSettings:
        if self.architecture in TOP_K and not float(self.sparsity).is_integer():
            raise ValueError(
                f"sparsity of {self.architecture} is a whole number of latents, not {self.sparsity}"
            )
        if self.counts_latents and self.sparsity > self.d_sae:
            raise ValueError(f"sparsity {self.sparsity:g} is more than all {self.d_sae} latents")
        return self

    def identity(self) -> dict[str, Any]:
        """The settings that this SAE's architecture reads (others cannot change a result)."""
        foreign = tuple(f"{name}_" for name in ARCHITECTURES if name != self.architecture)
        unread = _UNREAD.get(self.architecture, ())
        return {
            name: value
            for name, value in super().identity().items()
            if name not in unread and not name.startswith(foreign)
        }

    @property
    def kind(self) -> str:
        """The architecture, and whether it is a transcoder: what sweeps tell SAEs apart by."""
        return self.architecture if self.output_site is None else f"{self.architecture}_transcoder"

    def output_at(self, site: str) -> str | None:
        """The site that is predicted from `site`, `{layer}` written out; None for an SAE."""
        if self.output_site is None:
            return None
        layer = site_layer(site)
        output = self.output_site.replace("{layer}", "?" if layer is None else str(layer))
        return None if output == site else output

    @property
    def counts_latents(self) -> bool:
        """Whether `sparsity` is a number of active latents per token, not a coefficient."""
        target = self.architecture == "jumprelu" and self.jumprelu_penalty == "target"
        return target or self.architecture in TOP_K

    @property
    def k(self) -> int:
        """Active latents per token (of the top-k architectures)."""
        return int(self.sparsity)

    @property
    def dead_tokens(self) -> int:
        """`dead_after` with the default resolved."""
        return self.dead_after or min(1_000_000, max(1, self.tokens // 20))

    @property
    def steps(self) -> int:
        """Optimiser steps: the tokens in whole batches, at least one."""
        return max(1, self.tokens // self.batch_size)

    @property
    def peak_learning_rate(self) -> float:
        """The learning rate after warm-up, with the default resolved."""
        if self.learning_rate is not None:
            return self.learning_rate
        return min(2e-3, 2e-4 * (16384 / self.d_sae) ** 0.5)


# (name of the axis, the setting it varies), outermost first
AXES = (
    ("architectures", "architecture"),
    ("widths", "d_sae"),
    ("sparsities", "sparsity"),
    ("seeds", "seed"),
)
Entry = dict[str, Any]


class TrainSection(TrainCommon):
    """SAEs of every site: the product of the axes.

    An axis entry may be an object instead of a plain value: it gives the axis' own value and
    overrides anything below it, other settings as well as the axes further down, as in
    ``architectures: [topk, {architecture: relu, sparsities: [0.5, 1], learning_rate: 4e-4}]``.
    """

    architectures: tuple[str | Entry, ...] = field(
        ("topk",), "Architectures, or objects that override."
    )
    widths: tuple[int | Entry, ...] = field(
        (256, 512, 1024),
        "Numbers of latents, or objects that override; an empty list trains nothing.",
    )
    sparsities: tuple[float | Entry, ...] = field((16.0,), "Sparsities, or objects that override.")
    seeds: tuple[int | Entry, ...] = field(
        (0, 1), "Seeds of the initial weights, or objects that override."
    )
    reshuffle: bool = field(
        False,
        "Give every seed its own order of the data (stream_seed + seed), not one shared order.",
    )

    @model_validator(mode="after")
    def _expandable(self) -> TrainSection:
        self.expand()
        return self

    def expand(self) -> list[TrainSettings]:
        """Every SAE of one site, sorted by architecture, sparsity, seed, width.

        Raises ValueError naming the axis entry that is wrong or the two that describe one SAE.
        """
        common = {name: getattr(self, name) for name in TrainCommon.model_fields}
        axes = {name: getattr(self, name) for name, _ in AXES}
        if not self.widths:
            return []
        seen: dict[tuple, str] = {}
        found = []
        for values, where in _branches(axes, common, 0, ""):
            if self.reshuffle:
                values["stream_seed"] += values["seed"]
            settings = _settings(values, where)
            key = (settings.kind, settings.sparsity, settings.seed, settings.d_sae)
            if key in seen:
                raise ValueError(
                    f"train: {where} describes the same SAE as {seen[key]} by architecture, width, "
                    "sparsity and seed, which is all that tells SAEs apart; remove one of them, "
                    "or put it into a second entry of `models` with `overrides`"
                )
            seen[key] = where
            found.append(settings)
        return sorted(found, key=_order)


def _order(s: TrainSettings) -> tuple:
    return (s.kind, s.sparsity, s.seed, s.d_sae)


def _settings(values: dict[str, Any], where: str) -> TrainSettings:
    try:
        return TrainSettings(**values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise ValueError(f"train: {where}: {key + ': ' if key else ''}{first['msg']}") from None


def _branches(
    axes: dict[str, tuple], values: dict[str, Any], level: int, where: str
) -> Iterator[tuple[dict[str, Any], str]]:
    """Walk the product of the axes depth first, each entry overriding what lies below it."""
    if level == len(AXES):
        yield dict(values), where
        return
    plural, singular = AXES[level]
    if not axes[plural]:
        raise ValueError(f"train.{plural}: the axis is empty")
    for i, entry in enumerate(axes[plural]):
        place = f"{where + ', ' if where else ''}{plural}[{i}]"
        below, changed = _override(axes, entry, level, place)
        missing = singular not in changed
        if missing:
            raise ValueError(f"train: {place}: the object does not give {singular!r}")
        yield from _branches(below, values | changed, level + 1, place)


def _override(
    axes: dict[str, tuple], entry: Any, level: int, place: str
) -> tuple[dict[str, tuple], dict[str, Any]]:
    """Split an axis entry into changed axes below it and changed settings."""
    _, singular = AXES[level]
    if not isinstance(entry, dict):
        return axes, {singular: entry}
    lower = {single: many for many, single in AXES[level + 1 :]}
    settings = {*TrainCommon.model_fields, singular}
    below, changed = dict(axes), {}
    for key, value in entry.items():
        if key in lower:
            below[lower[key]] = (value,)
        elif key in lower.values():
            if not isinstance(value, list | tuple):
                raise ValueError(f"train: {place}: {key} must be a list")
            below[key] = tuple(value)
        elif key in settings:
            changed[key] = value
        else:
            known = [*settings, *lower, *lower.values()]
            raise ValueError(f"train: {place}: {key!r} cannot be set here{nearest(key, known)}")
    return below, changed

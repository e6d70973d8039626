"""Settings of models: trained here, from a folder, from the hub, or a world in their place."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from interpsweep.config.base import Section, field
from interpsweep.config.corpora import LanguageSettings
from interpsweep.config.imports import ImportedSAE, ImportEntry
from interpsweep.config.sites import expand_sites
from interpsweep.config.worlds import WorldSettings
from interpsweep.errors import nearest

Dtype = Literal["float32", "float16", "bfloat16"]


class Architecture(Section):
    """Shape of a small transformer that the workflow trains (pre-norm, learned positions)."""

    n_layers: int = field(2, "Number of blocks", unit="blocks", ge=1, le=48)
    d_model: int = field(64, "Width of the residual stream", unit="dimensions", ge=8, le=8192)
    n_heads: int = field(4, "Attention heads per block", unit="heads", ge=1, le=128)
    d_mlp: int = field(256, "Hidden width of the MLPs", unit="dimensions", ge=8, le=65536)
    n_ctx: int = field(64, "Longest context", unit="tokens", ge=4, le=8192)
    act_fn: Literal["gelu", "gelu_new", "relu", "silu"] = field(
        "gelu", "Activation function of the MLPs"
    )
    normalization: Literal["LN", "LNPre", "RMS", "RMSPre"] = field(
        "LN",
        "Normalisation of what each part reads; the Pre forms have no parameters",
    )

    @model_validator(mode="after")
    def _heads_divide(self) -> Architecture:
        if self.d_model % self.n_heads:
            raise ValueError(
                f"d_model ({self.d_model}) must be a multiple of n_heads ({self.n_heads})"
            )
        return self


class TrainingSettings(Section):
    """How a model is trained: AdamW, linear warm-up, then a cosine down to zero."""

    steps: int = field(
        600, "Optimiser steps; 0 leaves the initial weights as they are", unit="steps", ge=0
    )
    batch_size: int = field(32, "Contexts of n_ctx tokens per step", unit="contexts", ge=1)
    learning_rate: float = field(5e-3, "Peak learning rate", gt=0, le=1)
    warmup_steps: int = field(50, "Steps of linear warm-up", unit="steps", ge=0)
    weight_decay: float = field(0.01, "Decoupled weight decay of matrices", ge=0)
    max_gradient_norm: float = field(1.0, "Gradients are scaled down to this norm", gt=0)


class SiteEntry(Section):
    """One entry of `sites` with settings of its own."""

    site: str = field(
        description="Hook name; `blocks.{0..5}.hook_resid_post` stands for six", min_length=1
    )
    overrides: dict[str, Any] = field(
        dict, "Sections below the model (capture, train, ...) as they hold for these sites only"
    )


class _Named(Section):
    name: str = field(
        description="Name of the model in results and figures",
        identity=False,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
        max_length=64,
    )
    sites: tuple[str | SiteEntry, ...] = field(
        description="Hook names where activations are read; `blocks.{0..5}.hook_resid_post` "
        "stands for six of them, `hook_embed` is the token embeddings (layer 0 of the residual "
        "stream, without positions). An entry may be an object with `site` and `overrides`",
        identity=False,
        min_length=1,
    )
    overrides: dict[str, Any] = field(
        dict,
        "Sections below the model (corpus, capture, train, ...) as they hold for this model only",
        identity=False,
    )

    saes: tuple[ImportEntry, ...] = field(
        (),
        "SAEs that exist already, beside those that `train` makes (none if `train.widths` is [])",
        identity=False,
    )

    @field_validator("sites")
    @classmethod
    def _sites_exist(cls, sites: tuple[str | SiteEntry, ...]) -> tuple[str | SiteEntry, ...]:
        expand_sites(_pattern(entry) for entry in sites)  # raises on a bad name, or one named twice
        return sites

    @model_validator(mode="after")
    def _imports_have_sites(self) -> _Named:
        for i, entry in enumerate(self.saes):
            for sae in entry.expand():
                if sae.site not in self.site_names:
                    raise ValueError(
                        f"saes[{i}]: {sae.site!r} is not among the sites of model {self.name!r}"
                        f"{nearest(sae.site, self.site_names)}; add it to `sites`"
                    )
        return self

    @property
    def all_imports(self) -> list[ImportedSAE]:
        """The SAEs from outside, placeholders written out."""
        return [sae for entry in self.saes for sae in entry.expand()]

    def imports(self, site: str) -> list[ImportedSAE]:
        """The SAEs from outside that belong to a site."""
        return [sae for sae in self.all_imports if sae.site == site]

    @property
    def site_names(self) -> tuple[str, ...]:
        """Every site, ranges written out, in the order of the config."""
        return expand_sites(_pattern(entry) for entry in self.sites)

    def site_overrides(self, site: str) -> dict[str, Any]:
        """What the entry that `site` comes from overrides."""
        entry = self.sites[self.site_entry(site)]
        return {} if isinstance(entry, str) else entry.overrides

    def site_entry(self, site: str) -> int:
        """Which entry of `sites` a site comes from."""
        for number, entry in enumerate(self.sites):
            if site in expand_sites([_pattern(entry)]):
                return number
        raise KeyError(site)


def _pattern(entry: str | SiteEntry) -> str:
    return entry if isinstance(entry, str) else entry.site


class TrainModelSettings(Section):
    """Settings of one item of stage ``model``."""

    source: Literal["trained"] = field("trained", "The workflow trains the model itself")
    architecture: Architecture = field(Architecture, "Shape of the model")
    training: TrainingSettings = field(TrainingSettings, "Optimisation")
    language: LanguageSettings = field(LanguageSettings, "The planted language it is trained on")
    seed: int = field(0, "Seed of the initial weights and of the training data", ge=0)


class TrainedModel(TrainModelSettings, _Named):
    """A small model trained by the workflow on the planted language, whose structure is known."""


class GGUFSettings(Section):
    """Settings of one item of stage ``model`` that is made of a GGUF file."""

    source: Literal["gguf"] = field("gguf", "The workflow makes a checkpoint of a GGUF file")
    weights: str = field(description="Digest of the file")


ModelItem = TrainModelSettings | GGUFSettings  # what the settings of an item are


class PathModel(_Named):
    """A checkpoint on this machine: a directory (Hugging Face layout, safetensors weights), or one
    GGUF file, which the workflow makes into such a directory once (package `gguf` reads it)."""

    source: Literal["path"] = field("path", "A checkpoint directory, or a GGUF file")
    path: str = field(
        description="The folder, or the file (`*.gguf`); `package:NAME/inner` is one inside an "
        "installed Python package",
        identity=False,
        min_length=1,
    )
    sha256: str | None = field(
        None,
        "Refuse any other checkpoint than the one with this digest, as in the lock file",
        identity=False,
        pattern=r"^(sha256:)?[0-9a-f]{64}$",
    )
    dtype: Dtype = field("float32", "Numbers that the forward pass computes in")


def is_gguf(path: str) -> bool:
    """Whether a path names a GGUF file: nothing is looked up."""
    return path.lower().endswith(".gguf")


class HubModel(_Named):
    """A model of the Hugging Face hub, pinned to a commit by `interpsweep lock`."""

    source: Literal["hub"] = field("hub", "The Hugging Face hub")
    repo: str = field(
        description="Repository, such as `openai-community/gpt2`",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?$",
    )
    revision: str = field(
        "main", "Branch, tag or commit; the lock keeps the commit it stood for", identity=False
    )
    dtype: Dtype = field("float32", "Numbers that the forward pass computes in")


class WorldModel(_Named):
    """No model but a world with known answers, whose activations are written straight to disk.

    A site of layer 0 sees the world as planted; sites of further layers see the same rows, each
    under a random rotation of its own.
    """

    source: Literal["world"] = field("world", "A world with known answers")
    world: WorldSettings = field(description="What is planted")


class ActivationsModel(_Named):
    """No model but activations that were made elsewhere, in a folder of this machine.

    Files of .npy or .safetensors rows, or SAELens' cached activations.
    """

    source: Literal["activations"] = field("activations", "Activations made elsewhere")
    path: str = field(
        description="The folder; docs/imports.md has its layouts", identity=False, min_length=1
    )
    marks: tuple[int | str, ...] = field(
        (),
        "Tokens (ids, or strings) that are marks such as BOS, whose rows are not used. The special "
        "tokens of a `tokenizer.json` in the folder are marks anyway",
    )


Model = Annotated[
    TrainedModel | PathModel | HubModel | WorldModel | ActivationsModel,
    Field(discriminator="source"),
]


def model_identity(model: Model, *, weights: str = "", commit: str = "") -> dict[str, Any]:
    """What later stages know a model by: goes into ``settings["model"]`` of their specs.

    `weights` is the digest of a path model's checkpoint or of a folder of activations, `commit`
    that of a hub model; a model that the workflow trains, or makes of a GGUF file, is known by the
    digest among the spec's inputs, a world by that of its corpus.
    """
    if isinstance(model, PathModel) and is_gguf(model.path):
        return {"source": "gguf", "dtype": model.dtype}
    if isinstance(model, PathModel):
        return {"source": "path", "weights": weights, "dtype": model.dtype}
    if isinstance(model, HubModel):
        return {"source": "hub", "repo": model.repo, "commit": commit, "dtype": model.dtype}
    if isinstance(model, ActivationsModel):
        return {"source": "activations", "content": weights}
    return {"source": model.source}

"""The weights of an SAE from outside, on their way into the one format of the store."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from interpsweep.errors import UserError
from interpsweep.saes.artifact import LATENT_TENSORS, check_tensors, write_dictionary

_MAX_TEXT = 500  # characters of a fact that is carried over


@dataclass
class Foreign:
    """Weights in our names and shapes (see `artifact.Dictionary`), float32, not yet folded.

    `rescale`: pre-activations are multiplied by the decoder norms before latents are chosen, and
    divided by them again before decoding. `threshold` of such a jumprelu SAE is in those units.
    """

    name: str  # how errors call its files
    architecture: str
    tensors: dict[str, np.ndarray]
    k: int | None = None
    subtract: bool = True  # the decoder bias from the input
    rescale: bool = False
    normalisation: str = "none"
    reshape: str = "none"
    metadata: dict[str, Any] = field(default_factory=dict)
    factor: float | str | None = None  # on activations, to be folded; a text if it is not known
    doubt: str = ""  # why it may not be what its name says; the user can say that it is a relu SAE

    def check(self, d_in: int, d_sae: int) -> None:
        """Raise UserError unless all tensors are there, of these sizes, and finite."""
        cfg = {"architecture": self.architecture, "d_in": d_in, "d_sae": d_sae}
        check_tensors(self.name, cfg, self.tensors)
        if self.k is not None and self.k > d_sae:
            raise UserError(f"{self.name}: k {self.k} is more than all {d_sae} latents")

    def fold_scale(self, given: float | None) -> None:
        """Make weights for x of weights for `factor` * x; a `given` factor goes before its own.

        Raises UserError if a factor is needed and not known.
        """
        factor = self.factor if given is None else given
        if isinstance(factor, str):
            raise UserError(factor)
        if factor is None:
            return
        if not (math.isfinite(factor) and factor > 0):
            raise UserError(f"{self.name}: the scale of its activations is {factor}, not above 0")
        self.tensors["W_enc"] = self.tensors["W_enc"] * np.float32(factor)
        for name in ("W_dec", "b_dec"):
            self.tensors[name] = self.tensors[name] / np.float32(factor)
        if self.rescale and "threshold" in self.tensors:
            self.tensors["threshold"] = self.tensors["threshold"] / np.float32(factor)

    def fold_centring(self) -> None:
        """Make an encoder for x of one for x minus its mean over dimensions.

        Activations become those of the centred input. Decoded is what the SAE was trained to
        decode, the centred input: models with layer norms, which it was meant for, drop the rest.
        """
        if self.normalisation == "constant_norm_rescale":
            raise UserError(
                f"{self.name}: centred activations cannot be folded under {self.normalisation}, "
                "as their norms differ; set `centred: false` to use it as it is"
            )
        wide = self.tensors["W_enc"].astype(np.float64)
        means = wide.mean(axis=0)
        self.tensors["W_enc"] = (wide - means).astype(np.float32)
        if not self.subtract:
            return
        shift = self.tensors["b_dec"].astype(np.float64).sum() * means
        gains = {"b_mag": np.exp(self.tensors["r_mag"])} if "r_mag" in self.tensors else {}
        for name in ("b_enc", "b_gate", "b_mag"):
            if name in self.tensors:
                moved = self.tensors[name] - gains.get(name, 1) * shift
                self.tensors[name] = moved.astype(np.float32)

    def fold_norms(self) -> None:
        """Give decoder rows norm 1 where the SAE chooses its latents as if they had it."""
        if not self.rescale:
            return
        norms = np.linalg.norm(self.tensors["W_dec"], axis=1)
        self.tensors["W_enc"] = self.tensors["W_enc"] * norms
        self.tensors["b_enc"] = self.tensors["b_enc"] * norms
        self.tensors["W_dec"] = self.tensors["W_dec"] / np.where(norms > 0, norms, 1)[:, None]
        self.rescale = self.architecture == "topk"  # readers may go on folding: nothing changes

    def write(self, out: Path, metadata: Mapping[str, Any]) -> None:
        """Write the SAE directory; facts of its own win over those in `metadata`."""
        extra: dict[str, Any] = {
            "normalize_activations": self.normalisation,
            "reshape_activations": self.reshape,
        }
        if self.architecture == "topk":
            extra["rescale_acts_by_decoder_norm"] = self.rescale
        write_dictionary(
            out,
            self.architecture,
            self.tensors,
            k=self.k,
            apply_b_dec_to_input=self.subtract,
            metadata={**metadata, **self.metadata},
            extra=extra,
        )


def named(
    name: str, arrays: Mapping[str, np.ndarray], names: Mapping[str, str], optional: str = ""
) -> dict[str, np.ndarray]:
    """Arrays by our names, float32; `names` maps theirs to ours, `optional` may be there unused.

    Raises UserError for a tensor that is missing and for one that has no place.
    """
    if missing := sorted(names.keys() - arrays.keys()):
        raise UserError(f"{name}: no tensor {missing[0]!r}; it needs {', '.join(names)}")
    if extra := sorted(arrays.keys() - names.keys() - set(optional.split())):
        raise UserError(
            f"{name}: unexpected tensor {extra[0]!r}; such an SAE has {', '.join(names)}"
        )
    return {ours: np.asarray(arrays[theirs], np.float32) for theirs, ours in names.items()}


def matrix(name: str, tensors: Mapping[str, np.ndarray], *which: str) -> None:
    """Raise UserError unless the named tensors are matrices: what is transposed has to be."""
    for key in which:
        if tensors[key].ndim != 2:
            raise UserError(f"{name}: {key} has shape {tensors[key].shape}; it must be a matrix")


def spread(name: str, threshold: np.ndarray, d_sae: int) -> np.ndarray:
    """One threshold for all latents as one for each, (d_sae,) float32; below 0 it means 0."""
    if threshold.size != 1:
        raise UserError(f"{name}: threshold has shape {threshold.shape}; it must be one number")
    return np.full(d_sae, max(float(threshold.reshape(())), 0.0), np.float32)


def undecided(name: str, threshold: np.ndarray) -> str:
    """Why a batch top-k SAE is none: its one threshold was never found out in training."""
    if threshold.size == 1 and not float(threshold.reshape(())) > 0:
        return (
            f"{name}: its threshold is {float(threshold.reshape(())):g}: training ended before one "
            "was estimated, so it fires wherever its pre-activations are above 0, on many more "
            "latents than its k. Take a later checkpoint, or say `architecture: relu` to have it "
            "as the plain relu SAE that it computes"
        )
    return ""


def count(name: str, key: str, value: Any) -> int:
    """A positive whole number out of a foreign configuration."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise UserError(f"{name}: {key} must be a positive whole number, not {value!r}")
    return value


def plain_facts(metadata: Mapping[str, Any], wanted: tuple[str, ...]) -> dict[str, Any]:
    """Those of the `wanted` facts that are plain, finite and short: the rest is not carried on."""
    return {key: metadata[key] for key in wanted if key in metadata and _plain(metadata[key])}


def _plain(value: Any, depth: int = 0) -> bool:
    if isinstance(value, dict) and depth < 2:
        return len(value) < 100 and all(
            len(key) < _MAX_TEXT and _plain(v, depth + 1) for key, v in value.items()
        )
    if isinstance(value, list) and depth < 2:
        return len(value) < 100 and all(_plain(v, depth + 1) for v in value)
    if isinstance(value, str):
        return len(value) <= _MAX_TEXT
    return value is None or (isinstance(value, bool | int | float) and math.isfinite(value))


def vectors(architecture: str) -> dict[str, str]:
    """The tensors of an architecture under SAELens' names, which are ours."""
    names = ("W_enc", "W_dec", "b_dec", *LATENT_TENSORS[architecture])
    return {name: name for name in names}

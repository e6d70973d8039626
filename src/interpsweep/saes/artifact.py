"""Stored SAEs: directories in the SAELens v6 format, read and written with numpy.

A directory holds ``cfg.json``, ``sae_weights.safetensors`` and optionally ``sparsity.safetensors``
(key ``sparsity``: log10 of the firing rate + 1e-10). Dictionaries made by SAELens itself open here
as well; known are `standard`, `topk`, `jumprelu`, `gated` and the transcoders of each.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, deserialize
from safetensors.numpy import save_file

from interpsweep.errors import UserError
from interpsweep.tables import write_json

CONFIG, WEIGHTS, SPARSITY = "cfg.json", "sae_weights.safetensors", "sparsity.safetensors"
# From 6.0.0 on readers take cfg.json as it is; below, they rewrite it and lose the metadata.
FORMAT_VERSION = "6.18.0"

# the tensors of each architecture beside W_enc, W_dec and b_dec, all of shape (d_sae,)
LATENT_TENSORS = {
    "standard": ("b_enc",),
    "topk": ("b_enc",),
    "jumprelu": ("b_enc", "threshold"),
    "gated": ("b_gate", "b_mag", "r_mag"),
}
# What cfg.json calls the transcoder of each of them. The first two are SAELens' own formats; the
# others extend them in the same way: `d_out`, and no b_dec at the input.
TRANSCODERS = {
    "standard": "transcoder",
    "jumprelu": "jumprelu_transcoder",
    "topk": "topk_transcoder",
    "gated": "gated_transcoder",
}
_KINDS = {name: name for name in LATENT_TENSORS} | {name: of for of, name in TRANSCODERS.items()}
_DTYPES = {"F64": np.float64, "F32": np.float32, "F16": np.float16}
UNIT_TOLERANCE = 1e-4  # of a decoder row's norm around 1


@dataclass(frozen=True)
class Dictionary:
    """The weights of one SAE, float32, for activations as they are stored (unscaled).

    `tensors` has W_enc (d_in, d_sae), W_dec (d_sae, d_out), b_dec (d_out,) and the architecture's
    vectors over latents; `cfg` is the content of cfg.json. Of an SAE d_out is d_in; a transcoder
    predicts the activations of another site.
    """

    path: Path
    cfg: dict[str, Any]
    tensors: dict[str, np.ndarray]

    @classmethod
    def open(cls, path: Path | str) -> Dictionary:
        """Read and check a directory. Raises UserError naming the file and tensor at fault."""
        path = Path(path)
        cfg = _read_cfg(path / CONFIG)
        tensors = read_tensors(path / WEIGHTS)
        check_tensors(path / WEIGHTS, cfg, tensors)
        return cls(path, cfg, tensors)

    @property
    def architecture(self) -> str:
        """Architecture at inference, of transcoders too: standard, topk, jumprelu or gated."""
        return _KINDS[self.cfg["architecture"]]

    @property
    def transcodes(self) -> bool:
        """Whether it predicts other activations than it reads."""
        return self.cfg["architecture"] in TRANSCODERS.values()

    @property
    def W_enc(self) -> np.ndarray:
        """Encoder, (d_in, d_sae)."""
        return self.tensors["W_enc"]

    @property
    def W_dec(self) -> np.ndarray:
        """Decoder, (d_sae, d_out): one row per latent."""
        return self.tensors["W_dec"]

    @property
    def b_enc(self) -> np.ndarray:
        """Encoder bias, (d_sae,); of a gated SAE the bias of its gate."""
        return self.tensors["b_gate" if self.architecture == "gated" else "b_enc"]

    @property
    def b_dec(self) -> np.ndarray:
        """Decoder bias, (d_out,)."""
        return self.tensors["b_dec"]

    @property
    def threshold(self) -> np.ndarray | None:
        """Thresholds of a jumprelu SAE, (d_sae,)."""
        return self.tensors.get("threshold")

    @property
    def k(self) -> int | None:
        """Active latents per token of a topk SAE."""
        return int(self.cfg["k"]) if self.architecture == "topk" else None

    @property
    def d_in(self) -> int:
        """Width of the activations that are read."""
        return self.W_enc.shape[0]

    @property
    def d_out(self) -> int:
        """Width of the activations that are reconstructed or predicted."""
        return self.W_dec.shape[1]

    @property
    def d_sae(self) -> int:
        """Number of latents."""
        return self.W_dec.shape[0]

    @cached_property
    def decoder_norms(self) -> np.ndarray:
        """Norm of each decoder row, (d_sae,) float32."""
        return np.linalg.norm(self.W_dec.astype(np.float64), axis=1).astype(np.float32)

    @cached_property
    def directions(self) -> np.ndarray:
        """Decoder rows divided by their norms (zero rows stay zero), (d_sae, d_out) float32."""
        return self.W_dec / np.where(self.decoder_norms > 0, self.decoder_norms, 1)[:, None]

    @property
    def unit_decoder(self) -> bool:
        """Whether every decoder row has norm 1, so that activations need no folding."""
        return bool(np.all(np.abs(self.decoder_norms - 1) < UNIT_TOLERANCE))

    @cached_property
    def log_sparsity(self) -> np.ndarray | None:
        """log10(firing rate + 1e-10) noted by the trainer, (d_sae,), if there."""
        file = self.path / SPARSITY
        return read_tensors(file)["sparsity"] if file.exists() else None


def write_dictionary(
    path: Path,
    architecture: str,
    tensors: dict[str, np.ndarray],
    *,
    firing_rate: np.ndarray | None = None,
    k: int | None = None,
    apply_b_dec_to_input: bool = True,
    transcoder: bool = False,
    metadata: dict[str, Any] | None = None,
    extra: dict[str, Any] | None = None,
) -> None:
    """Write an SAE directory. `tensors` as in `Dictionary.tensors`; they must be finite.

    `extra` goes over the entries of cfg.json.
    """
    path.mkdir(parents=True, exist_ok=True)
    d_in, d_sae = tensors["W_enc"].shape
    cfg: dict[str, Any] = {
        "architecture": architecture,
        "d_in": int(d_in),
        "d_sae": int(d_sae),
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": apply_b_dec_to_input,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "metadata": {"sae_lens_version": FORMAT_VERSION, **(metadata or {})},
    }
    if architecture == "topk":
        # True lets readers fold decoder norms; for unit rows it changes nothing.
        cfg |= {"k": k, "rescale_acts_by_decoder_norm": True}
    if transcoder:
        d_out = int(tensors["W_dec"].shape[1])
        cfg |= {"architecture": TRANSCODERS[architecture], "d_out": d_out}
        cfg |= {"apply_b_dec_to_input": False}
    cfg |= extra or {}
    arrays = {name: np.ascontiguousarray(t, dtype=np.float32) for name, t in tensors.items()}
    check_tensors(path / WEIGHTS, cfg, arrays)
    _save(arrays, path / WEIGHTS)
    if firing_rate is not None:
        log_rate = np.log10(np.asarray(firing_rate, np.float64) + 1e-10).astype(np.float32)
        _save({"sparsity": log_rate}, path / SPARSITY)
    write_json(cfg, path / CONFIG)


def _save(arrays: dict[str, np.ndarray], file: Path) -> None:
    partial = file.with_name(file.name + ".partial")
    save_file(arrays, partial)
    os.replace(partial, file)


def _read_cfg(file: Path) -> dict[str, Any]:
    try:
        cfg = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{file}: missing; an SAE directory has {CONFIG} and {WEIGHTS}") from None
    except ValueError as error:
        raise UserError(
            f"{file}: not valid JSON ({error}); fetch or export the SAE again"
        ) from None
    if not isinstance(cfg, dict) or cfg.get("architecture") not in _KINDS:
        name = cfg.get("architecture") if isinstance(cfg, dict) else None
        raise UserError(f"{file}: architecture {name!r} is not one of {', '.join(_KINDS)}")
    k = cfg.get("k")
    if _KINDS[cfg["architecture"]] == "topk" and not (isinstance(k, int) and k > 0):
        raise UserError(f"{file}: a topk SAE needs a positive whole number k, not {k!r}")
    return cfg


def read_tensors(file: Path, name: str = "") -> dict[str, np.ndarray]:
    """All tensors of a safetensors file as float32; `name` is what errors call it."""
    where = name or file
    try:
        content = deserialize(file.read_bytes())
    except FileNotFoundError:
        raise UserError(f"{where}: missing; an SAE directory has {CONFIG} and {WEIGHTS}") from None
    except (SafetensorError, OSError) as error:
        raise UserError(f"{where}: cannot be read ({error}); fetch or export it again") from None
    return {key: _array(where, key, tensor) for key, tensor in content}


def _array(file: Path | str, name: str, tensor: dict[str, Any]) -> np.ndarray:
    if tensor["dtype"] == "BF16":  # the upper half of a float32
        wide = np.frombuffer(tensor["data"], np.uint16).astype(np.uint32) << 16
        return wide.view(np.float32).reshape(tensor["shape"])
    if tensor["dtype"] not in _DTYPES:
        raise UserError(f"{file}: {name} has dtype {tensor['dtype']}, not a floating-point one")
    array = np.frombuffer(tensor["data"], _DTYPES[tensor["dtype"]])
    return array.astype(np.float32).reshape(tensor["shape"])


def check_tensors(file: Path | str, cfg: dict[str, Any], tensors: dict[str, np.ndarray]) -> None:
    """Raise UserError, naming `file`, unless the tensors are those of `cfg`, sound and finite."""
    d_in, d_sae = cfg.get("d_in"), cfg.get("d_sae")
    d_out = cfg.get("d_out") if cfg["architecture"] in TRANSCODERS.values() else d_in
    shapes = {"W_enc": (d_in, d_sae), "W_dec": (d_sae, d_out), "b_dec": (d_out,)}
    shapes |= dict.fromkeys(LATENT_TENSORS[_KINDS[cfg["architecture"]]], (d_sae,))
    if missing := sorted(shapes.keys() - tensors.keys()):
        raise UserError(
            f"{file}: no tensor {missing[0]!r}; a {cfg['architecture']} SAE has {', '.join(shapes)}"
        )
    if extra := sorted(tensors.keys() - shapes.keys()):
        raise UserError(
            f"{file}: unexpected tensor {extra[0]!r}; a {cfg['architecture']} SAE has "
            f"{', '.join(shapes)}"
        )
    for name, shape in shapes.items():
        if tensors[name].shape != shape:
            raise UserError(f"{file}: {name} has shape {tensors[name].shape}; it must be {shape}")
        if not np.isfinite(tensors[name]).all():
            raise UserError(f"{file}: {name} has values that are not finite; the SAE is unusable")
    if not (np.abs(tensors["W_dec"]).sum(axis=1) > 0).any():
        raise UserError(f"{file}: W_dec is all zero; the SAE is unusable")

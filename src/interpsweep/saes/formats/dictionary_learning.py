"""dictionary_learning: ``config.json`` and ``ae.pt``, a pickle.

A pickle can run code when it is read. This one is read by torch's restricted unpickler alone,
which knows tensors and plain containers; a file that asks for anything else is refused.
"""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import torch

from interpsweep.errors import UserError
from interpsweep.saes.formats import files as f
from interpsweep.saes.formats.foreign import (
    Foreign,
    count,
    matrix,
    named,
    spread,
    undecided,
    vectors,
)

_LINEAR = {"encoder.weight": "W_enc", "encoder.bias": "b_enc", "decoder.weight": "W_dec"}
_GATED = {
    "encoder.weight": "W_enc",
    "decoder.weight": "W_dec",
    "decoder_bias": "b_dec",
    "gate_bias": "b_gate",
    "mag_bias": "b_mag",
    "r_mag": "r_mag",
}
_CHOSEN = {**_LINEAR, "b_dec": "b_dec"}  # of the top-k classes, beside k and threshold
# class -> architecture at inference, their names to ours, what else is there
_CLASSES: dict[str, tuple[str, dict[str, str], str]] = {
    "AutoEncoder": ("standard", {**_LINEAR, "bias": "b_dec"}, ""),
    "AutoEncoderNew": ("standard", {**_LINEAR, "decoder.bias": "b_dec"}, ""),
    "GatedAutoEncoder": ("gated", _GATED, ""),
    "AutoEncoderTopK": ("topk", _CHOSEN, "k threshold"),
    "BatchTopKSAE": ("jumprelu", {**_CHOSEN, "threshold": "threshold"}, "k"),
    "JumpReluAutoEncoder": ("jumprelu", vectors("jumprelu"), ""),
    "MatryoshkaBatchTopKSAE": ("jumprelu", vectors("jumprelu"), "k group_sizes"),
}
_WITHOUT_BIAS = ("AutoEncoderNew", "JumpReluAutoEncoder")  # never subtracted from the input


def read(files: f.Files) -> Foreign:
    """The SAE; its activations are not scaled: the trainer folds that before it saves."""
    trainer = files.json(f.CONFIG).get("trainer")
    kind = trainer.get("dict_class") if isinstance(trainer, dict) else None
    if kind not in _CLASSES:
        raise UserError(
            f"{files.name}/{f.CONFIG}: trainer.dict_class {kind!r} is not one of "
            f"{', '.join(_CLASSES)}"
        )
    assert isinstance(trainer, dict)
    architecture, names, optional = _CLASSES[kind]
    name = f"{files.name}/{f.DICTIONARY_LEARNING}"
    arrays = state_dict(files.need(f.DICTIONARY_LEARNING), name)
    tensors = named(name, arrays, names, optional)
    if "encoder.weight" in names:  # torch's linear layers keep (out, in)
        matrix(name, tensors, "W_enc", "W_dec")
        tensors["W_enc"], tensors["W_dec"] = tensors["W_enc"].T, tensors["W_dec"].T
    doubt = ""
    if kind in ("BatchTopKSAE", "MatryoshkaBatchTopKSAE"):
        matrix(name, tensors, "W_dec")
        doubt = undecided(name, tensors["threshold"])
        tensors["threshold"] = spread(name, tensors["threshold"], tensors["W_dec"].shape[0])
    k = None
    if architecture == "topk":
        k = int(arrays["k"].reshape(())) if _one(arrays.get("k")) else trainer.get("k")
        k = count(name, "k", k)
    model = trainer.get("lm_name")
    metadata = {"model_name": model} if isinstance(model, str) and len(model) < 500 else {}
    subtract = kind not in _WITHOUT_BIAS
    return Foreign(
        name, architecture, tensors, k=k, subtract=subtract, metadata=metadata, doubt=doubt
    )


def _one(value: np.ndarray | None) -> bool:
    return value is not None and value.size == 1


def state_dict(path: Path, name: str) -> dict[str, np.ndarray]:
    """Tensors of a saved state dict as float32, by name. Raises UserError for anything else."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = str(error).strip().split("\n")[0]
        raise UserError(
            f"{name}: holds more than tensors, so reading it could run code; it is refused "
            f"({reason}). Export its state dict alone"
        ) from None
    except (RuntimeError, OSError, EOFError, ValueError, KeyError, AttributeError) as error:
        raise UserError(f"{name}: cannot be read ({error}); fetch it again") from None
    if not isinstance(content, dict):
        raise UserError(f"{name}: holds a {type(content).__name__}, not a state dict")
    return {str(key): _array(f"{name}: {key}", tensor) for key, tensor in content.items()}


def _array(name: str, tensor: object) -> np.ndarray:
    if not isinstance(tensor, torch.Tensor) or tensor.layout != torch.strided:
        raise UserError(f"{name} is not a plain tensor")
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise UserError(f"{name} claims shape {tuple(tensor.shape)}, more than the file holds")
    if tensor.is_complex():
        raise UserError(f"{name} holds complex numbers")
    return tensor.detach().float().numpy()

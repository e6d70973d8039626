"""SAELens directories: inference SAEs of version 6 and before it, and training checkpoints.

A BatchTopK or Matryoshka checkpoint still has its single ``topk_threshold``, an old JumpReLU one
``log_threshold``; inference exports of the same SAEs are plain jumprelu directories.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from interpsweep.errors import UserError
from interpsweep.saes.artifact import read_tensors
from interpsweep.saes.formats import files as f
from interpsweep.saes.formats.about import saelens_kind
from interpsweep.saes.formats.foreign import (
    Foreign,
    count,
    named,
    plain_facts,
    spread,
    undecided,
    vectors,
)

INFERENCE = ("standard", "gated", "jumprelu", "topk")
CHECKPOINTS = ("batchtopk", "matryoshka_batchtopk")
KEPT = ("none", "layer_norm", "constant_norm_rescale")  # understood by `saes.load`
# facts of the metadata that stay true of the imported SAE
_FACTS = (
    *("model_name", "hook_head_index", "seqpos_slice"),
    *("context_size", "prepend_bos", "dataset_path", "exclude_special_tokens", "neuronpedia_id"),
    *("training_architecture_details", "sae_lens_training_version", "l0", "num_dead_features"),
)
_FINE_TUNING = ("finetuning_scaling_factor", "scaling_factor")


def read(files: f.Files) -> Foreign:
    """The SAE; `factor` is what its activations were multiplied by, if that is still to fold."""
    cfg, weights = files.json(f.CFG), files.need(f.SAELENS)
    name = f"{files.name}/{f.SAELENS}"
    kind = _kind(files.name, cfg)
    arrays = read_tensors(weights, name)
    rescale = bool(cfg.get("rescale_acts_by_decoder_norm", False))
    k, doubt = None, ""
    if kind in CHECKPOINTS:
        names = {**vectors("topk"), "topk_threshold": "threshold"}
        tensors = named(name, arrays, names)
        doubt = undecided(name, tensors["threshold"])
        tensors["threshold"] = spread(name, tensors["threshold"], tensors["W_dec"].shape[0])
        kind = "jumprelu"
    else:
        tensors = _inference(name, kind, arrays)
        if kind == "topk":
            kwargs = cfg.get("activation_fn_kwargs")
            found = cfg.get("k") or (kwargs.get("k") if isinstance(kwargs, dict) else None)
            k = count(f"{files.name}/{f.CFG}", "k", found)
    metadata = cfg["metadata"] if isinstance(cfg.get("metadata"), dict) else cfg
    normalisation, factor = _normalisation(files, cfg)
    return Foreign(
        name,
        kind,
        tensors,
        k=k,
        subtract=bool(cfg.get("apply_b_dec_to_input", True)),
        rescale=rescale,
        normalisation=normalisation,
        reshape="hook_z" if cfg.get("reshape_activations") == "hook_z" else "none",
        metadata=plain_facts(metadata, _FACTS),
        factor=factor,
        doubt=doubt,
    )


def _kind(name: str, cfg: dict[str, Any]) -> str:
    """The architecture, if it can be imported."""
    function = cfg.get("activation_fn_str", cfg.get("activation_fn", "relu"))
    kind = saelens_kind(cfg)
    if function not in ("relu", "topk"):
        raise UserError(f"{name}/{f.CFG}: activation function {function!r} is not relu or topk")
    if kind not in (*INFERENCE, *CHECKPOINTS):
        raise UserError(
            f"{name}/{f.CFG}: architecture {kind!r} is not one of "
            f"{', '.join((*INFERENCE, *CHECKPOINTS))}"
        )
    return str(kind)


def _inference(name: str, kind: str, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    arrays = dict(arrays)
    if kind == "jumprelu" and "log_threshold" in arrays:
        arrays["threshold"] = np.exp(arrays.pop("log_threshold"))
    factors = [arrays.pop(key) for key in _FINE_TUNING if key in arrays]
    tensors = named(name, arrays, vectors(kind))
    for factor in factors:  # multiplies activations on their way into the decoder only
        if factor.shape != tensors["W_dec"].shape[:1]:
            raise UserError(f"{name}: a scaling factor of shape {factor.shape} fits no decoder")
        tensors["W_dec"] = tensors["W_dec"] * factor[:, None]
    return tensors


def _normalisation(files: f.Files, cfg: dict[str, Any]) -> tuple[str, float | str | None]:
    """What stays in cfg.json; the factor to fold, or a text that says why it is not known."""
    wanted = cfg.get("normalize_activations") or "none"
    if wanted is True or wanted == "expected_average_only_in":
        known = files.json(f.SCALER).get("scaling_factor") if files.find(f.SCALER) else None
        if isinstance(known, int | float) and not isinstance(known, bool):
            return "none", float(known)
        return "none", (
            f"{files.name}/{f.CFG}: normalize_activations is expected_average_only_in, and no "
            f"{f.SCALER} states the factor. Give it as `scale`, or `scale: estimate` to take it "
            "from the activations of this sweep"
        )
    if wanted == "constant_scalar_rescale":
        stated = cfg.get("activation_normalization_factor")
        if isinstance(stated, int | float) and not isinstance(stated, bool):
            return "none", float(stated)
        return "none", (
            f"{files.name}/{f.CFG}: normalize_activations is {wanted}, and no "
            "activation_normalization_factor states the factor. Give it as `scale`"
        )
    if wanted not in KEPT:
        raise UserError(
            f"{files.name}/{f.CFG}: normalize_activations {wanted!r} cannot be imported; known are "
            f"{', '.join(KEPT)}, expected_average_only_in and constant_scalar_rescale. "
            "Fold it before the export"
        )
    return str(wanted), None

"""Llama Scope: ``hyperparams.json`` and ``checkpoints/final.safetensors``.

The weights are for activations of mean norm sqrt(d_model), the one threshold for activations as
they are. With ``sparsity_include_decoder_norm`` latents are chosen by what they add to the output.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from interpsweep.errors import UserError
from interpsweep.saes.artifact import read_tensors
from interpsweep.saes.formats import files as f
from interpsweep.saes.formats.about import llama_scope_kind
from interpsweep.saes.formats.foreign import Foreign, count, matrix, named

_NAMES = {"encoder.weight": "W_enc", "encoder.bias": "b_enc", "decoder.weight": "W_dec"}
_NORMS = "dataset_average_activation_norm"
_KINDS = {"jumprelu": "jumprelu", "topk": "topk", "relu": "standard"}


def read(files: f.Files) -> Foreign:
    """The SAE; `factor` is what its activations were multiplied by."""
    cfg, where = files.json(f.HYPERPARAMS), f"{files.name}/{f.HYPERPARAMS}"
    kind = _KINDS.get(llama_scope_kind(cfg) or "")
    if kind is None:
        raise UserError(
            f"{where}: act_fn {cfg.get('act_fn')!r} cannot be imported; known are "
            f"{', '.join(_KINDS)}"
        )
    into, out = cfg.get("hook_point_in"), cfg.get("hook_point_out")
    if cfg.get("use_glu_encoder") or out not in (None, into):
        raise UserError(
            f"{where}: from {into} to {out}, use_glu_encoder {cfg.get('use_glu_encoder', False)}; "
            "only plain autoencoders can be imported"
        )
    factor = _factor(cfg, where)
    name = f"{files.name}/{f.LLAMA_SCOPE}"
    arrays = read_tensors(files.need(f.LLAMA_SCOPE), name)
    bias = {"decoder.bias": "b_dec"} if cfg.get("use_decoder_bias", True) else {}
    tensors = named(name, arrays, {**_NAMES, **bias}, f"{_NORMS}.in {_NORMS}.out")
    matrix(name, tensors, "W_enc", "W_dec")
    tensors["W_enc"], tensors["W_dec"] = tensors["W_enc"].T, tensors["W_dec"].T
    d_sae, d_in = tensors["W_dec"].shape
    tensors.setdefault("b_dec", np.zeros(d_in, np.float32))
    if kind == "jumprelu":
        threshold = float(cfg.get("jump_relu_threshold") or 0.0) * (factor or 1.0)
        tensors["threshold"] = np.full(d_sae, threshold, np.float32)
    by_token = cfg.get("norm_activation") == "token-wise"
    return Foreign(
        name,
        kind,
        tensors,
        k=count(where, "top_k", cfg.get("top_k")) if kind == "topk" else None,
        subtract=bool(cfg.get("apply_decoder_bias_to_pre_encoder", False)) and bool(bias),
        rescale=bool(cfg.get("sparsity_include_decoder_norm", True)) and kind != "standard",
        normalisation="constant_norm_rescale" if by_token else "none",
        factor=factor,
    )


def _factor(cfg: dict[str, Any], where: str) -> float | None:
    """What activations are multiplied by, for all of a data set; None if nothing or per token."""
    how = cfg.get("norm_activation", "dataset-wise")
    if how in ("inference", "token-wise"):
        return None
    norms: Any = cfg.get(_NORMS)
    norm: Any = norms.get("in") if isinstance(norms, dict) else None
    sound = type(norm) in (int, float) and 0 < norm < math.inf and norms.get("out") == norm
    if how != "dataset-wise" or not sound:
        raise UserError(
            f"{where}: norm_activation {how!r} with {_NORMS} {norms!r} cannot be imported; it must "
            "be dataset-wise with one norm in and out, inference or token-wise"
        )
    return math.sqrt(count(where, "d_model", cfg.get("d_model"))) / norm

"""Small models of our own: building, writing and reading TransformerLens' native architecture.

A model artifact holds ``model.safetensors`` (float32 parameters by their native names),
``config.json`` (the native configuration) and ``vocabulary.json`` (token strings by id).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformer_lens.config import TransformerBridgeConfig
from transformer_lens.model_bridge import TransformerBridge
from transformer_lens.model_bridge.sources import build_bridge_from_module
from transformer_lens.model_bridge.sources.native import NativeModel, initialize_native_model

from interpsweep.config.models import Architecture
from interpsweep.tables import read_json, write_json

WEIGHTS, CONFIG, VOCABULARY = "model.safetensors", "config.json", "vocabulary.json"


def native_config(architecture: Architecture, n_vocabulary: int, seed: int) -> dict[str, Any]:
    """The TransformerLens configuration of `architecture`, as plain JSON values."""
    return {
        **architecture.model_dump(),
        "normalization_type": architecture.normalization,
        "d_head": architecture.d_model // architecture.n_heads,
        "d_vocab": n_vocabulary,
        "init_mode": "gpt2",
        "seed": seed,
    }


def build(config: dict[str, Any]) -> NativeModel:
    """A freshly initialised float32 model on the CPU; the seed is part of `config`.

    Training runs on this plain module: without the bridge's hook points a step takes a fifth less.
    """
    settings = {key: value for key, value in config.items() if key != "normalization"}
    cfg = TransformerBridgeConfig.from_dict({**settings, "device": "cpu"})
    with torch.random.fork_rng(devices=[]):
        model = NativeModel(cfg)
        initialize_native_model(model, cfg)
    return model


def save(model: NativeModel, config: dict[str, Any], vocabulary: list[str], out: Path) -> None:
    """Write a model artifact's weights, configuration and vocabulary into `out`."""
    weights = {
        name: tensor.detach().cpu().contiguous() for name, tensor in model.named_parameters()
    }
    save_file(weights, out / WEIGHTS)
    write_json(config, out / CONFIG)
    write_json(vocabulary, out / VOCABULARY)


def load(folder: Path, device: str, dtype: torch.dtype) -> TransformerBridge:
    """The bridge around the model that `save` wrote into `folder`."""
    model = build(read_json(folder / CONFIG))
    missing, unexpected = model.load_state_dict(load_file(folder / WEIGHTS), strict=False)
    if missing or unexpected:
        raise ValueError(f"{folder}: weights do not fit config.json: {missing} {unexpected}")
    model = model.to(device=device, dtype=dtype).eval()
    return build_bridge_from_module(
        model, "TransformerLensNative", tl_config=model.cfg, device=device, model_name="native"
    )

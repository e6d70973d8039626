"""SAEs as other packages write them, by hand from their documented formats, and what they compute."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file

from interpsweep.config.imports import ImportedSAE
from interpsweep.context import Context
from interpsweep.lock import openers
from interpsweep.saes import imports
from interpsweep.saes.formats import about, files
from interpsweep.saes.load import load

D_SAE, K = 20, 3
SITE = "blocks.0.hook"


def bring(world, folder: Path, out: Path, **entry):
    """Lock, plan and run one import, as a sweep does; return the SAE that comes out."""
    entry = {"site": SITE, "sparsity": 5, **entry}
    sae = ImportedSAE(path=str(folder), **entry)
    content = files.content_digest(folder)
    known = about.look(files.local_files(folder), sae.format, str(folder))
    settings = about.settings(sae, content, known)
    spec = {"settings": settings.identity()}
    ctx = Context(device="cpu", outside=openers({content: f"sae:{folder}"}))
    inputs = {"activations": world["activations"], "corpus": world["corpus"]}
    imports.run(spec, inputs, out, ctx)
    return load(out)


def random(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


def base(d_in: int) -> dict[str, np.ndarray]:
    return {
        "W_enc": random(d_in, D_SAE),
        "W_dec": random(D_SAE, d_in, seed=1),
        "b_enc": 0.3 * random(D_SAE, seed=2),
        "b_dec": random(d_in, seed=3),
    }


def top_k(pre: np.ndarray, k: int = K) -> np.ndarray:
    kth = np.sort(pre, axis=1)[:, -k][:, None]
    return np.maximum(pre, 0) * (pre >= kth)


def write_saelens(folder: Path, kind: str, tensors: dict, **cfg: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    w = tensors["W_dec"]
    plain = {"architecture": kind, "d_in": w.shape[1], "d_sae": w.shape[0], "dtype": "float32",
             "device": "cpu", "apply_b_dec_to_input": True, "normalize_activations": "none",
             "reshape_activations": "none", "metadata": {"sae_lens_version": "6.54.12"}}  # fmt: skip
    (folder / "cfg.json").write_text(json.dumps({**plain, **cfg}))
    save_file(tensors, folder / "sae_weights.safetensors")


def write_gemma_scope(folder: Path, tensors: dict) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "params.npz", **tensors)


def write_sparsify(folder: Path, tensors: dict, **cfg: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    w = tensors["W_dec"]
    plain = {"activation": "topk", "expansion_factor": 32, "normalize_decoder": True,
             "num_latents": w.shape[0], "k": K, "multi_topk": False, "skip_connection": False,
             "transcode": False, "d_in": w.shape[1]}  # fmt: skip
    (folder / "cfg.json").write_text(json.dumps({**plain, **cfg}))
    theirs = {"encoder.weight": np.ascontiguousarray(tensors["W_enc"].T), "W_dec": w,
              "encoder.bias": tensors["b_enc"], "b_dec": tensors["b_dec"]}  # fmt: skip
    save_file(theirs, folder / "sae.safetensors")


def write_dictionary_learning(folder: Path, kind: str, state: dict, **trainer: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    described = {
        "dict_class": kind,
        "dict_size": D_SAE,
        "layer": 0,
        "lm_name": "a/model",
        "seed": 7,
    }
    (folder / "config.json").write_text(json.dumps({"trainer": {**described, **trainer}}))
    torch.save({name: torch.as_tensor(value) for name, value in state.items()}, folder / "ae.pt")


def linear(t: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The keys of a dictionary_learning class with linear layers."""
    return {"encoder.weight": t["W_enc"].T.copy(), "encoder.bias": t["b_enc"],
            "decoder.weight": t["W_dec"].T.copy()}  # fmt: skip

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
MEAN_NORM = 2.5  # of the activations of a Llama Scope
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
    inputs = {r: world[r] for r in ("activations", "masks", "corpus")}
    imports.run(spec, inputs, out, ctx)
    return load(out)


def x_of(world) -> np.ndarray:
    return world["x"][:50]


def agrees(sae, x: np.ndarray, acts: np.ndarray, out: np.ndarray) -> None:
    t = torch.from_numpy(x)
    np.testing.assert_allclose(sae.encode(t).numpy(), acts, atol=1e-5, rtol=1e-5)
    np.testing.assert_allclose(sae.reconstruct(t).numpy(), out, atol=1e-5, rtol=1e-5)
    assert (acts > 0).any() and (acts == 0).any()


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


def write_gemma_scope_2(folder: Path, tensors: dict, **config: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    place = "model.layers.0.output"
    plain = {"hf_hook_point_in": place, "hf_hook_point_out": place, "width": D_SAE, "l0": 7,
             "model_name": "google/gemma-3-1b-pt", "architecture": "jump_relu", "type": "sae",
             "affine_connection": False}  # fmt: skip
    (folder / "config.json").write_text(json.dumps({**plain, **config}))
    theirs = {name.replace("W_", "w_"): tensor for name, tensor in tensors.items()}
    save_file(theirs, folder / "params.safetensors")


def write_llama_scope(folder: Path, tensors: dict, **params: object) -> None:
    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    d_sae, d_in = tensors["W_dec"].shape
    plain = {"hook_point_in": SITE, "hook_point_out": SITE, "d_model": d_in, "d_sae": d_sae,
             "expansion_factor": 8, "act_fn": "jumprelu", "jump_relu_threshold": 0.5, "top_k": K,
             "norm_activation": "dataset-wise", "use_decoder_bias": True,
             "dataset_average_activation_norm": {"in": MEAN_NORM, "out": MEAN_NORM},
             "apply_decoder_bias_to_pre_encoder": False, "sparsity_include_decoder_norm": True}  # fmt: skip
    (folder / "hyperparams.json").write_text(json.dumps({**plain, **params}))
    theirs = {**linear(tensors), "decoder.bias": tensors["b_dec"]}
    save_file(theirs, folder / "checkpoints" / "final.safetensors")


# as SAELens wrote it before version 6, among them those of the GPT-2 small splitting family
BEFORE_VERSION_6 = {
    "model_name": "gpt2-small", "hook_point": SITE, "hook_point_layer": 0,
    "hook_point_head_index": None, "dataset_path": "Skylion007/openwebtext",
    "is_dataset_tokenized": False, "context_size": 128, "use_cached_activations": False,
    "d_sae": D_SAE, "n_batches_in_buffer": 128, "total_training_tokens": 300_000_000,
    "store_batch_size": 32, "device": "mps", "seed": 42, "dtype": "torch.float32",
    "b_dec_init_method": "geometric_median", "expansion_factor": 4, "from_pretrained_path": None,
    "l1_coefficient": 8e-05, "lp_norm": 1, "lr": 0.0004, "train_batch_size": 4096,
    "use_ghost_grads": False, "feature_sampling_window": 1000, "dead_feature_window": 5000,
}  # fmt: skip


def write_before_version_6(folder: Path, tensors: dict, **cfg: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    told = {**BEFORE_VERSION_6, "d_in": tensors["W_dec"].shape[1], **cfg}
    (folder / "cfg.json").write_text(json.dumps(told))
    save_file(tensors, folder / "sae_weights.safetensors")


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

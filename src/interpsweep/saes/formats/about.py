"""What an SAE's files say it is, without reading its weights. No torch, no numpy.

`interpsweep lock` looks once and keeps the answer, so that planning needs none of the files.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from functools import partial
from typing import Any

from interpsweep.config.imports import KIND, ImportedSAE, ImportSettings
from interpsweep.config.sites import site_layer
from interpsweep.errors import UserError
from interpsweep.saes.formats import files as f

# format, architecture, d_in, d_sae, sparsity, seed, hook, layer, centred: as far as known
About = dict[str, Any]

_MAX_TEXT = 200  # characters of a name that is kept
# the names that the sweep's own SAEs have in families and figures
_FAMILIAR = {"standard": "relu", "matryoshka_batchtopk": "matryoshka"}
_CLASSES = {
    "AutoEncoder": "relu",
    "AutoEncoderNew": "relu",
    "GatedAutoEncoder": "gated",
    "AutoEncoderTopK": "topk",
    "BatchTopKSAE": "batchtopk",
    "JumpReluAutoEncoder": "jumprelu",
    "MatryoshkaBatchTopKSAE": "matryoshka",
}
# what no configuration of sparsify has and one of SAELens from before version 6 does
_SAELENS = frozenset({"hook_point", "hook_name", "architecture", "l1_coefficient", "model_name"})
# Gemma Scope: what folders and repositories are called
_HOOKS = {"res": "hook_resid_post", "mlp": "hook_mlp_out", "att": "attn.hook_z"}
_HOOKS_2 = {  # places as configurations call them, and as folders do
    "output": "hook_resid_post",
    "self_attn.o_proj.input": "attn.hook_z",
    "post_feedforward_layernorm.output": "hook_mlp_out",  # what the residual stream gets
    "resid_post": "hook_resid_post",
    "attn_out": "attn.hook_z",
    "mlp_out": "hook_mlp_out",
}


def look(files: f.Files, wanted: str = "auto", name: str = "") -> About:
    """What the files say. `name` is the place as the user wrote it: Gemma Scope's speaks.

    What the user says in `wanted` is believed. Raises UserError if the files are of no known
    format, or not those of the one that is wanted.
    """
    found = _format(files, name) if wanted == "auto" else _wanted(files, wanted, name)
    if found is None:
        told = files.other() or f"not an SAE of a known format ({', '.join(f.WEIGHTS)})"
        raise UserError(f"{files.name}: {told}: {files.remedy}")
    readers: dict[str, Callable[[f.Files], About]] = {
        "saelens": _saelens,
        "gemma_scope_2": partial(_gemma_scope_2, name=name),
        "llama_scope": _llama_scope,
        "sparsify": _sparsify,
        "dictionary_learning": _dictionary_learning,
    }
    about = _gemma_scope(name) if found == "gemma_scope" else readers[found](files)
    return {"format": found, **{key: value for key, value in about.items() if value is not None}}


def _wanted(files: f.Files, wanted: str, name: str) -> str:
    """The format that the user names, unless its weights are known not to be there."""
    if files.has(f.WEIGHTS[wanted]) is False and (found := _format(files, name)) != wanted:
        what = f"of format {found}" if found else "not those"
        raise UserError(
            f"{files.name}: the files are {what}, `format` says {wanted}, which has "
            f"{f.WEIGHTS[wanted]}"
        )
    return wanted


def _format(files: f.Files, name: str) -> str | None:
    """The format whose weights and configuration are there.

    Weights that nobody can see without fetching them (on a hub) are guessed by the configuration.
    """
    if name.endswith(".npz"):
        return "gemma_scope"  # its name says all, and on the hub a look would fetch the weights
    seen = {form: files.has(weights) for form, weights in f.WEIGHTS.items()}
    for form, there in seen.items():
        if there and (form not in f.CONFIGS or files.find(f.CONFIGS[form]) is not None):
            return form
    return _by_configuration(files) if None in seen.values() else None


def _by_configuration(files: f.Files) -> str | None:
    if files.find(f.CFG) is not None:
        cfg = files.json(f.CFG)
        theirs = "num_latents" in cfg or ("expansion_factor" in cfg and "d_sae" not in cfg)
        return "sparsify" if theirs and not _SAELENS.intersection(cfg) else "saelens"
    if files.find(f.HYPERPARAMS) is not None:
        return "llama_scope"
    if files.find(f.CONFIG) is not None:
        cfg = files.json(f.CONFIG)
        if "hf_hook_point_in" in cfg:
            return "gemma_scope_2"
        return "dictionary_learning" if "trainer" in cfg else None
    return None


def saelens_kind(cfg: dict[str, Any]) -> Any:
    """The architecture at inference that a SAELens configuration of any version means.

    Before version 6 topk was an activation function of the standard architecture.
    """
    function = cfg.get("activation_fn_str", cfg.get("activation_fn", "relu"))
    kind = cfg.get("architecture") or "standard"
    return "topk" if kind == "standard" and function == "topk" else kind


def _saelens(files: f.Files) -> About:
    cfg = files.json(f.CFG)
    metadata = _mapping(cfg.get("metadata"))
    trained = _mapping(metadata.get("training_architecture_details"))
    kwargs = _mapping(cfg.get("activation_fn_kwargs"))
    used, kind = _text(saelens_kind(cfg)), _text(metadata.get("training_architecture"))
    if kind in (None, "standard"):  # it says nothing that how it is used does not
        kind = used or "standard"
    hooks = (metadata.get("hook_name"), cfg.get("hook_name"), cfg.get("hook_point"))
    loaded = metadata.get("model_from_pretrained_kwargs") or cfg.get("model_from_pretrained_kwargs")
    counts = (cfg.get("k"), kwargs.get("k"), trained.get("k"), trained.get("sparsity"))
    l0 = _positive(metadata.get("l0"))
    return {
        "architecture": _FAMILIAR.get(kind, kind),
        "d_in": _count(cfg.get("d_in")),
        "d_sae": _count(cfg.get("d_sae")),
        "sparsity": next((k for k in map(_positive, counts) if k), l0 and float(f"{l0:.3g}")),
        "seed": _seed(trained.get("seed")),
        "hook": next((hook for hook in map(_text, hooks) if hook), None),
        "centred": _mapping(loaded).get("center_writing_weights") is True or None,
    }


def _gemma_scope(name: str) -> About:
    layer = re.search(r"layer_(\d+)(?!.*layer_)", name)
    width = re.search(r"width_(\d+)([km]?)", name)
    l0 = re.search(r"average_l0_(\d+)", name)
    kind = re.search(r"-(res|mlp|att)(?:$|[/@])", name)
    hook = f"blocks.{layer[1]}.{_HOOKS[kind[1]]}" if layer and kind else None
    return {
        "architecture": "jumprelu",
        "d_sae": _width(int(width[1]), width[2]) if width else None,
        "sparsity": float(l0[1]) if l0 else None,
        "layer": int(layer[1]) if layer else None,
        "hook": hook,
    }


def _gemma_scope_2(files: f.Files, name: str) -> About:
    """What its configuration says; some have none, and their folders' names have to do."""
    cfg = files.json(f.CONFIG) if files.find(f.CONFIG) is not None else {}
    named = re.search(r"(resid_post|attn_out|mlp_out)[^/]*/layer_(\d+)_width_(\d+)([km]?)", name)
    place = re.search(r"layers\.(\d+)\.(.*)", _text(cfg.get("hf_hook_point_in")) or "")
    if place:
        layer, hook = place[1], _HOOKS_2.get(place[2])
    elif named and not cfg:
        layer, hook = named[2], _HOOKS_2[named[1]]
    else:
        layer, hook = None, None
    width = _width(int(named[3]), named[4]) if named and not cfg else None
    return {
        "architecture": "jumprelu",
        "d_sae": _count(cfg.get("width")) or width,
        "sparsity": _positive(cfg.get("l0")),
        "layer": None if layer is None else int(layer),
        "hook": f"blocks.{layer}.{hook}" if hook else None,
    }


def _llama_scope(files: f.Files) -> About:
    cfg = files.json(f.HYPERPARAMS)
    return {
        "architecture": llama_scope_kind(cfg),
        "d_in": _count(cfg.get("d_model")),
        "d_sae": _count(cfg.get("d_sae")),
        "sparsity": _positive(cfg.get("top_k")),
        "hook": _text(cfg.get("hook_point_in")),
    }


def llama_scope_kind(cfg: dict[str, Any]) -> str | None:
    """Architecture at inference: a top-k SAE that has a threshold is used with that."""
    function, threshold = cfg.get("act_fn"), _positive(cfg.get("jump_relu_threshold"))
    if function == "jumprelu" or (function == "topk" and threshold):
        return "jumprelu"
    return _text(function)


def _width(number: int, unit: str) -> int:
    """Latents behind ``16k``, ``65k``, ``1m``: the power of two nearest to so many thousands."""
    if not unit:
        return number
    return 1 << round(math.log2(max(number, 1) * {"k": 1e3, "m": 1e6}[unit]))


def _sparsify(files: f.Files) -> About:
    cfg = files.json(f.CFG)
    d_in = _count(cfg.get("d_in"))
    latents, factor = _count(cfg.get("num_latents")), _count(cfg.get("expansion_factor"))
    return {
        "architecture": _text(cfg.get("activation", "topk")),
        "d_in": d_in,
        "d_sae": latents or (d_in * factor if d_in and factor else None),
        "sparsity": _positive(cfg.get("k")),
    }


def _dictionary_learning(files: f.Files) -> About:
    trainer = _mapping(files.json(f.CONFIG).get("trainer"))
    kind = trainer.get("dict_class")
    if kind not in _CLASSES:
        raise UserError(
            f"{files.name}/{f.CONFIG}: trainer.dict_class {kind!r} is not one of "
            f"{', '.join(_CLASSES)}"
        )
    layer = trainer.get("layer")
    return {
        "architecture": _CLASSES[kind],
        "d_in": _count(trainer.get("activation_dim")),
        "d_sae": _count(trainer.get("dict_size")),
        "sparsity": _positive(trainer.get("k")) or _positive(trainer.get("target_l0")),
        "seed": _seed(trainer.get("seed")),
        "layer": layer if isinstance(layer, int) else None,
    }


def settings(sae: ImportedSAE, content: str, about: About) -> ImportSettings:
    """Identity and coordinates: the configuration's word first, then the files'.

    `content` is the digest of a local folder or the commit of a hub repository. Raises UserError
    for what neither of them says, and where they contradict each other.
    """
    where = f"models[].saes: {sae.repo + '/' if sae.repo else ''}{sae.path}"
    if sae.check_hook:
        _check_hook(sae.site, about, where)
    if None not in (sae.d_sae, about.get("d_sae")) and sae.d_sae != about["d_sae"]:
        raise UserError(f"{where}: d_sae is {sae.d_sae} here and {about['d_sae']} in the files")
    if about["format"] == "gemma_scope" and "embedding" in sae.path and sae.scale is None:
        raise UserError(
            f"{where}: SAEs of embeddings depend on whether the model multiplies them by "
            "sqrt(d_model); give `scale`: 1 if `hook_embed` is not multiplied, else 1/sqrt(d_model)"
        )
    known: dict[str, Any] = {}
    for key in ("architecture", "d_sae", "sparsity", "seed"):
        value = getattr(sae, key)
        known[key] = about.get(key, 0 if key == "seed" else None) if value is None else value
        if key == "architecture" and not re.fullmatch(KIND, str(known[key])):
            raise UserError(f"{where}: its files call it {known[key]!r:.80}; give `architecture`")
        if known[key] is None:
            hint = " (its L0, or any number that its family shares)" if key == "sparsity" else ""
            raise UserError(f"{where}: the files do not say its {key}; give `{key}`{hint}")
    return ImportSettings(
        format=about["format"],
        content={"repo": sae.repo, "commit": content, "path": sae.path} if sae.repo else content,
        site=sae.site,
        scale=sae.scale,
        centred=about.get("centred", False) if sae.centred is None else sae.centred,
        **known,
    )


def _check_hook(site: str, about: About, where: str) -> None:
    remedy = "Correct `site`, or set `check_hook: false` if the two are the same place"
    hook, layer, here = about.get("hook"), about.get("layer"), site_layer(site)
    if hook is not None and hook != site:
        raise UserError(f"{where}: its files name the hook {hook!r}, `site` is {site!r}. {remedy}")
    if hook is None and None not in (layer, here) and layer != here:
        raise UserError(f"{where}: its files name layer {layer}, `site` is {site!r}. {remedy}")


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _count(value: Any) -> int | None:
    sound = isinstance(value, int) and not isinstance(value, bool) and 0 < value < 1 << 31
    return value if sound else None


def _seed(value: Any) -> int | None:
    sound = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 32
    return value if sound else None


def _text(value: Any) -> str | None:
    return value[:_MAX_TEXT] if isinstance(value, str) and value else None


def _positive(value: Any) -> float | None:
    sound = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if sound and math.isfinite(value) and value > 0 else None

"""Folders that hold no SAE of a known format: what they are, and what to do. No torch, no numpy."""

from __future__ import annotations

from pathlib import Path

_MODEL = (
    "these are files of a language model, which belongs under models[].path (or `repo`); an SAE's "
    "folder goes here"
)
_SAVE = "load it there and save it as a SAELens folder (`sae.save_model`), which is read"
# a file that tells -> what the folder is and what to do with it
_TOLD = {
    "adapter_config.json": "this is an adapter (PEFT) of a language model, no SAE",
    "model.safetensors": _MODEL,
    "model.safetensors.index.json": _MODEL,
    "pytorch_model.bin": _MODEL,
    "tokenizer.json": _MODEL,
    "lm_config.json": f"this is an SAE of Llamascopium (lm-saes), which is not read: {_SAVE}",
    "lm_config.yaml": f"this is an SAE of Llamascopium (lm-saes), which is not read: {_SAVE}",
    "sae.pt": "`sae.pt` is a pickle of saev or of an early SAELens, which is not read: save it as "
    "a SAELens folder with the package that wrote it",
    "ae.pt": "`ae.pt` is dictionary_learning's, and the config.json that says its class is missing",
    "cfg.json": "`cfg.json` is that of SAELens or sparsify, and the weights beside it are missing "
    "(sae_weights.safetensors or sae.safetensors): fetch them too",
    "hyperparams.json": "`hyperparams.json` is that of Llama Scope, and its weights are missing "
    "(checkpoints/final.safetensors): fetch them too",
    "sae_weights.safetensors": "the weights may be SAELens', whose cfg.json is missing, or a newer "
    f"Llama Scope's (lm-saes), which are not read: {_SAVE}",
    "sae.safetensors": "the weights are those of sparsify, and its cfg.json is missing",
}
_ENOUGH = ("params.npz", "params.safetensors")  # files that are an SAE by themselves
_PICKLED = (".pt", ".pth", ".bin", ".ckpt", ".pkl", ".pkl.gz")
_MANY = 8  # names that a message lists


def other_folder(folder: Path) -> str:
    """What a folder is, in words; empty if its files do not tell. One level below is looked at."""
    try:
        inside = sorted(folder.iterdir())
        below = [entry.name for entry in inside if entry.is_dir() and _holds_sae(entry)]
    except OSError:
        return ""
    names = [entry.name for entry in inside if entry.is_file()]
    if below:
        more = ", ..." if len(below) > _MANY else ""
        return f"it holds several of them, name one: {', '.join(below[:_MANY])}{more}"
    for name, told in _TOLD.items():
        if name in names:
            return told
    if any(name.startswith(("W_enc_", "W_dec_")) for name in names):
        return "these are parts of a cross-layer transcoder, which is not read"
    if pickled := [name for name in names if name.endswith(_PICKLED)]:
        return (
            f"{pickled[0]} is a pickle of a package that is not known here; a pickle can run code "
            "and is not read: save the SAE as a SAELens folder with the package that wrote it"
        )
    return ""


def _holds_sae(folder: Path) -> bool:
    """Whether a folder looks as one with an SAE in it."""
    return any((folder / name).is_file() for name in (*_ENOUGH, *_TOLD))

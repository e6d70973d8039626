"""sparsify (EleutherAI): top-k SAEs in ``cfg.json`` and ``sae.safetensors``.

``encoder.weight`` and ``W_dec`` are both (d_sae, d_in): only the encoder is transposed. The decoder
bias is subtracted from the input whatever ``normalize_decoder`` says.
"""

from __future__ import annotations

from interpsweep.errors import UserError
from interpsweep.saes.artifact import read_tensors
from interpsweep.saes.formats import files as f
from interpsweep.saes.formats.foreign import Foreign, count, matrix, named

_NAMES = {"encoder.weight": "W_enc", "encoder.bias": "b_enc", "W_dec": "W_dec", "b_dec": "b_dec"}


def read(files: f.Files) -> Foreign:
    """The SAE; its encoder works on activations as they are."""
    cfg = files.json(f.CFG)
    where = f"{files.name}/{f.CFG}"
    for key in ("transcode", "skip_connection", "signed"):
        if cfg.get(key):
            raise UserError(f"{where}: {key} is set; only plain autoencoders can be imported")
    if cfg.get("activation", "topk") != "topk":
        raise UserError(
            f"{where}: activation {cfg['activation']!r} cannot be imported; only topk can"
        )
    name = f"{files.name}/{f.SPARSIFY}"
    tensors = named(name, read_tensors(files.need(f.SPARSIFY), name), _NAMES)
    matrix(name, tensors, "W_enc")
    tensors["W_enc"] = tensors["W_enc"].T
    return Foreign(name, "topk", tensors, k=count(where, "k", cfg.get("k")))

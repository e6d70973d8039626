"""Gemma Scope: jumprelu SAEs, which never subtract the decoder bias.

The first has ``params.npz`` only, the second ``params.safetensors`` and mostly a ``config.json``.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from interpsweep.errors import UserError
from interpsweep.saes.artifact import read_tensors
from interpsweep.saes.formats import files as f
from interpsweep.saes.formats.foreign import Foreign, named, plain_facts, vectors

_MAX_RATIO = 50  # weights hardly compress; an archive that says otherwise is a bomb
_FLOATS = ("f2", "f4", "f8")


def read(files: f.Files) -> Foreign:
    """The SAE; its encoder works on activations as they are."""
    path = files.need(f.GEMMA_SCOPE)
    name = f"{files.name}/{f.GEMMA_SCOPE}" if not files.name.endswith(".npz") else files.name
    tensors = named(name, _arrays(path, name), vectors("jumprelu"))
    return Foreign(name, "jumprelu", tensors, subtract=False)


def read_second(files: f.Files) -> Foreign:
    """An SAE of Gemma Scope 2; the transcoders beside them are refused."""
    cfg = files.json(f.CONFIG) if files.find(f.CONFIG) is not None else {}
    where = f"{files.name}/{f.CONFIG}"
    if cfg.get("architecture", "jump_relu") != "jump_relu":
        raise UserError(f"{where}: architecture {cfg['architecture']!r} is not jump_relu")
    into, out = cfg.get("hf_hook_point_in"), cfg.get("hf_hook_point_out")
    called = re.search(r"transcoder|crosscoder|clt", files.name) if not cfg else None
    another = cfg.get("type", "sae") != "sae" or cfg.get("affine_connection") or called
    if another or out not in (None, into):
        raise UserError(
            f"{where if cfg else files.name}: a {cfg.get('type', 'transcoder')} from {into} to "
            f"{out}; only autoencoders can be imported"
        )
    name = f"{files.name}/{f.GEMMA_SCOPE_2}"
    arrays = read_tensors(files.need(f.GEMMA_SCOPE_2), name)
    tensors = named(name, _our_names(arrays), vectors("jumprelu"))
    model = plain_facts(cfg, ("model_name",))
    return Foreign(name, "jumprelu", tensors, subtract=False, metadata=model)


def _our_names(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Theirs are ``w_enc`` for our ``W_enc``."""
    return {key.replace("w_", "W_", 1): array for key, array in arrays.items()}


def _arrays(path: Path, name: str) -> dict[str, np.ndarray]:
    """All arrays of the archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > _MAX_RATIO * path.stat().st_size + (1 << 20):
            raise UserError(f"{name}: unpacks to {size:,} bytes, which no weights do; not read")
        with np.load(path, allow_pickle=False) as archive:
            found = _our_names({key: archive[key] for key in archive.files})
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile, MemoryError) as error:
        raise UserError(f"{name}: cannot be read ({error}); fetch it again") from None
    for key, array in found.items():
        if not isinstance(array, np.ndarray) or array.dtype.str[1:] not in _FLOATS:
            raise UserError(f"{name}: {key} is not an array of floating-point numbers")
    return found

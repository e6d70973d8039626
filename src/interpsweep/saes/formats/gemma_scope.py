"""Gemma Scope: jumprelu SAEs in ``params.npz``, which never subtract the decoder bias."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from interpsweep.errors import UserError
from interpsweep.saes.formats import files as f
from interpsweep.saes.formats.foreign import Foreign, named, vectors

_MAX_RATIO = 50  # weights hardly compress; an archive that says otherwise is a bomb
_FLOATS = ("f2", "f4", "f8")


def read(files: f.Files) -> Foreign:
    """The SAE; its encoder works on activations as they are."""
    path = files.need(f.GEMMA_SCOPE)
    name = f"{files.name}/{f.GEMMA_SCOPE}" if not files.name.endswith(".npz") else files.name
    tensors = named(name, _arrays(path, name), vectors("jumprelu"))
    return Foreign(name, "jumprelu", tensors, subtract=False)


def _arrays(path: Path, name: str) -> dict[str, np.ndarray]:
    """All arrays of the archive; old ones write ``w_enc`` for ``W_enc``."""
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > _MAX_RATIO * path.stat().st_size + (1 << 20):
            raise UserError(f"{name}: unpacks to {size:,} bytes, which no weights do; not read")
        with np.load(path, allow_pickle=False) as archive:
            found = {key.replace("w_", "W_", 1): archive[key] for key in archive.files}
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile, MemoryError) as error:
        raise UserError(f"{name}: cannot be read ({error}); fetch it again") from None
    for key, array in found.items():
        if not isinstance(array, np.ndarray) or array.dtype.str[1:] not in _FLOATS:
            raise UserError(f"{name}: {key} is not an array of floating-point numbers")
    return found

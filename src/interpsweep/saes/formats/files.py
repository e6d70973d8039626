"""Where an SAE's files are: in a folder of this machine or in a repository of the hub. No torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from interpsweep.errors import UserError
from interpsweep.models.identity import prefetch_command
from interpsweep.saes.formats.others import other_folder
from interpsweep.store.outside import hash_outside

# every file that any of the formats reads; nothing else of a folder counts
CFG, CONFIG = "cfg.json", "config.json"
SAELENS, SCALER = "sae_weights.safetensors", "activation_scaler.json"
GEMMA_SCOPE, SPARSIFY, DICTIONARY_LEARNING = "params.npz", "sae.safetensors", "ae.pt"
GEMMA_SCOPE_2 = "params.safetensors"
HYPERPARAMS, LLAMA_SCOPE = "hyperparams.json", "checkpoints/final.safetensors"
WEIGHTS = {
    "saelens": SAELENS,
    "gemma_scope": GEMMA_SCOPE,
    "gemma_scope_2": GEMMA_SCOPE_2,
    "llama_scope": LLAMA_SCOPE,
    "sparsify": SPARSIFY,
    "dictionary_learning": DICTIONARY_LEARNING,
}
CONFIGS = {  # what has to go with them; Gemma Scope's folders say all by their names
    "saelens": CFG,
    "llama_scope": HYPERPARAMS,
    "sparsify": CFG,
    "dictionary_learning": CONFIG,
}
# in the order in which a digest takes them: new ones go to the end
KNOWN = (
    *(CFG, CONFIG, SAELENS, SCALER, GEMMA_SCOPE, SPARSIFY, DICTIONARY_LEARNING),
    *(GEMMA_SCOPE_2, HYPERPARAMS, LLAMA_SCOPE),
)
_MAX_JSON = 1 << 24  # bytes


@dataclass(frozen=True)
class Files:
    """The files of one SAE. `find` gives a file of `KNOWN` by name, None where there is none.

    `has` says whether there is one without fetching it, None where nobody can tell. `other` says
    what a folder is that holds no SAE of a known format, as far as its files tell.
    """

    name: str  # how errors call the place
    find: Callable[[str], Path | None]
    has: Callable[[str], bool | None]
    remedy: str = "fetch or export the SAE again"
    other: Callable[[], str] = str

    def need(self, name: str) -> Path:
        """A file that has to be there. Raises UserError if it is not."""
        path = self.find(name)
        if path is None:
            raise UserError(f"{self.name}: no {name}; {self.remedy}")
        return path

    def json(self, name: str) -> dict[str, Any]:
        """A JSON file that holds a mapping. Raises UserError for anything else."""
        path = self.need(name)
        where = f"{self.name}/{name}"
        if path.stat().st_size > _MAX_JSON:
            raise UserError(f"{where}: too large for a configuration; {self.remedy}")
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
        except (ValueError, RecursionError) as error:
            raise UserError(f"{where}: not valid JSON ({error}); {self.remedy}") from None
        if not isinstance(data, dict):
            raise UserError(f"{where}: not a mapping of keys to values; {self.remedy}")
        return data


def local_files(path: Path) -> Files:
    """Files in a folder; `path` may also be one ``.npz`` file. Raises UserError if it is neither.

    Links that lead out of the folder are refused: nothing that a downloaded folder says may make
    another file of this machine part of a result.
    """
    try:
        single = path.is_file() and path.suffix == ".npz"
        there = single or path.is_dir()
    except OSError as error:  # a name that no file can have
        raise UserError(f"models[].saes[].path: {error}") from None
    if not there:
        raise UserError(f"{path}: no such folder; models[].saes[].path must hold an SAE")
    root = (path.parent if single else path).resolve()

    def find(name: str) -> Path | None:
        if single and name != GEMMA_SCOPE:
            return None
        file = path if single else root / name
        if not file.is_file():
            return None
        real = file.resolve()
        if not real.is_relative_to(root):
            raise UserError(
                f"{file}: a link that leads out of its folder, to {real}. Copy the file itself "
                "there, or name the hub repository with `repo`"
            )
        return real

    def has(name: str) -> bool:
        return find(name) is not None

    return Files(str(path), find, has, other=partial(other_folder, root))


def hub_files(repo: str, commit: str, folder: str, *, network: bool) -> Files:
    """Files of a hub repository at a commit; without `network` the local cache must have them."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import (
        EntryNotFoundError,
        HTTPError,
        LocalEntryNotFoundError,
    )

    folder = folder.strip("/")
    single = folder.endswith(".npz")

    def find(name: str) -> Path | None:
        if single and name != GEMMA_SCOPE:
            return None
        inner = folder if single else f"{folder}/{name}".removeprefix("./").lstrip("/")
        try:
            found = hf_hub_download(repo, inner, revision=commit, local_files_only=not network)
        except (LocalEntryNotFoundError, EntryNotFoundError):
            return None
        except (HTTPError, OSError) as error:
            raise UserError(f"{repo}: {inner}: the hub refuses it ({error})") from None
        return Path(found)

    def has(name: str) -> bool | None:
        if single or not network:
            return find(name) is not None or None
        inner = f"{folder}/{name}".removeprefix("./").lstrip("/")
        return in_repository(repo, commit, inner)

    within = folder.rpartition("/")[0] if single else folder
    only = f" --include '{within}/*'" if within.strip(".") else ""
    remedy = (
        "it is not in the repository, or not in the local cache, and jobs never use the network. "
        f"On a machine with network and the same cache: {prefetch_command(repo, commit)}{only}"
    )
    return Files(f"{repo}@{commit[:12]}/{folder}", find, has, remedy)


def in_repository(repo: str, commit: str, inner: str) -> bool | None:
    """Whether a hub repository has a file; None if neither the hub nor the cache can tell."""
    from huggingface_hub import HfApi, try_to_load_from_cache
    from huggingface_hub.constants import HF_HUB_OFFLINE
    from huggingface_hub.errors import HTTPError

    cached = try_to_load_from_cache(repo, inner, revision=commit)
    if cached is not None:
        return isinstance(cached, str)
    if HF_HUB_OFFLINE:
        return None
    try:
        return bool(HfApi().file_exists(repo, inner, revision=commit))
    except (HTTPError, OSError):
        return None


def content_digest(path: Path) -> str:
    """``sha256:...`` over (name, SHA-256) of the files of an SAE folder that any format reads."""
    files = local_files(path)
    found = [(name, file) for name in KNOWN if (file := files.find(name)) is not None]
    if not found:
        told = files.other() or f"known files are {', '.join(KNOWN)}"
        raise UserError(f"{path}: no SAE in this folder; {told}")
    lines = [f"{name}\0{hash_outside(file)}\n" for name, file in found]
    return "sha256:" + hashlib.sha256("".join(lines).encode()).hexdigest()

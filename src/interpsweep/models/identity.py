"""What a model from outside is, as a digest: found out by `interpsweep lock`, never by a job.

No torch here: a checkpoint directory is identified by the bytes of its files, a GGUF file by its
own, a hub model by the commit that a revision stands for.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
import shlex
from pathlib import Path, PurePosixPath

from interpsweep.config.models import is_gguf
from interpsweep.errors import UserError
from interpsweep.store.outside import hash_outside

PACKAGE = "package:"

# what decides the activations of a checkpoint: architecture, weights, tokenizer
_DECISIVE = (
    "config.json",
    "*.safetensors",
    "*.safetensors.index.json",
    "tokenizer*.json",
    "tokenizer.model",
    "spiece.model",
    "vocab.*",
    "merges.txt",
    "special_tokens_map.json",
    "added_tokens.json",
)
_COMMIT = re.compile(r"[0-9a-f]{40}")


def resolve_path(path: str, base: Path | None = None) -> Path:
    """The place behind `path`: a plain path, or ``package:NAME/inner`` in an installed package.

    A relative path starts at `base` (default: the working directory). The package is found
    without importing it, so nothing of it runs.
    """
    if not path.startswith(PACKAGE):
        return (base or Path()) / Path(path).expanduser()
    name, _, inner = path.removeprefix(PACKAGE).partition("/")
    if not name.isidentifier():
        raise UserError(f"{path}: write package:NAME/inner, NAME being one importable package")
    if ".." in PurePosixPath(inner).parts:
        raise UserError(f"{path}: '..' leaves the package")
    found = importlib.util.find_spec(name)
    if found is None or not found.submodule_search_locations:
        raise UserError(f"{path}: no package {name!r} is installed in this environment")
    return Path(next(iter(found.submodule_search_locations))) / inner


def checkpoint_files(folder: Path) -> list[Path]:
    """The files of a checkpoint directory that decide its activations, sorted by name.

    Raises UserError if it is not a checkpoint with safetensors weights.
    """
    if not folder.is_dir():
        raise UserError(
            f"{folder}: no such folder; models[].path must be a checkpoint directory or a GGUF file"
        )
    files = sorted({file for pattern in _DECISIVE for file in folder.glob(pattern)})
    if not (folder / "config.json").is_file():
        single = min(folder.glob("*.gguf"), default=None)
        raise UserError(
            f"{folder}: no config.json; models[].path must be a checkpoint directory"
            + (f", or the GGUF file itself, such as {single}" if single else " or a GGUF file")
        )
    if not any(file.suffix == ".safetensors" for file in files):
        raise UserError(
            f"{folder}: no *.safetensors weights. Pickled weights (*.bin, *.pt) are never read, as "
            "they can run code: convert them with transformers' save_pretrained first"
        )
    return files


def gguf_file(path: Path) -> Path:
    """The path of a GGUF file. Raises UserError if there is none."""
    if not path.is_file():
        raise UserError(f"{path}: no such file; models[].path must be a checkpoint or a GGUF file")
    return path


def weights_digest(path: Path) -> str:
    """``sha256:...`` of a checkpoint directory: over (name, SHA-256) of its decisive files.

    Of a GGUF file it is that of its bytes.
    """
    if is_gguf(path.name):
        return "sha256:" + hash_outside(gguf_file(path))
    lines = [f"{file.name}\0{hash_outside(file)}\n" for file in checkpoint_files(path)]
    return "sha256:" + hashlib.sha256("".join(lines).encode()).hexdigest()


def check_pin(name: str, digest: str, pin: str | None) -> None:
    """Raise UserError if the model called `name` is pinned to another digest than `digest`."""
    if pin is not None and pin.removeprefix("sha256:") != digest.removeprefix("sha256:"):
        raise UserError(
            f"model {name!r}: the files have {digest}, models[].sha256 says {pin}. Restore the "
            "checkpoint, or change the pin if the new one is meant"
        )


def hub_commit(repo: str, revision: str, only: str = "") -> str:
    """The commit (40 hex digits) that `revision` of hub model `repo` stands for now.

    Asks the hub, or, offline, what its local cache says about the revision. `only` are options for
    the command in messages, where not the whole repository is wanted.
    """
    if _COMMIT.fullmatch(revision):
        return revision
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.constants import HF_HUB_OFFLINE
    from huggingface_hub.errors import (
        HfHubHTTPError,
        HFValidationError,
        HTTPError,
        LocalEntryNotFoundError,
    )

    if not HF_HUB_OFFLINE:
        try:
            return str(HfApi().model_info(repo, revision=revision).sha)
        except HfHubHTTPError as error:
            raise UserError(f"{repo} at {revision!r}: the hub refuses it ({error})") from error
        except (OSError, HTTPError, HFValidationError):
            pass  # no network (or no such name): the cache may still know
    try:
        folder = snapshot_download(repo, revision=revision, local_files_only=True)
    except LocalEntryNotFoundError as error:
        raise UserError(
            f"{repo}: no network, and revision {revision!r} is not in the local cache. On a "
            f"machine with network: {prefetch_command(repo, revision)}{only}"
        ) from error
    except HFValidationError as error:
        raise UserError(f"{repo} at {revision!r}: no repository is called so ({error})") from error
    return Path(folder).name


def cached(repo: str, commit: str) -> Path | None:
    """The folder of a hub repository in the local cache, whole or not; None without one."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return Path(snapshot_download(repo, revision=commit, local_files_only=True))
    except LocalEntryNotFoundError:
        return None


def prefetch_command(repo: str, revision: str) -> str:
    """The command that puts a hub model into the local cache, for use in messages."""
    return shlex.join(["hf", "download", repo, "--revision", revision])

"""Checkpoints of one training: whole or not there, of this spec or not used.

Each is one safetensors file ``<step>.safetensors`` whose metadata name the spec's digest and the
SHA-256 of its tensors. The last KEPT stay: if the newest turns out damaged, the training goes on
from the one before, and the result is the same bytes.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from interpsweep.store.layout import sync_folder

KEPT = 2
State = dict[str, Tensor]


class Checkpoints:
    """The checkpoints of one item in a folder of their own."""

    def __init__(self, folder: Path, digest: str) -> None:
        self.folder, self.digest = folder, digest

    def save(self, step: int, state: State) -> None:
        """Write the state after `step` steps; drop all but the last KEPT."""
        self.folder.mkdir(exist_ok=True)
        file = self.folder / f"{step:012d}.safetensors"
        partial = file.with_suffix(".partial")
        state = {name: tensor.detach().contiguous().cpu() for name, tensor in state.items()}
        facts = {"digest": self.digest, "step": str(step), "sha256": _hash(state)}
        save_file(state, partial, metadata=facts)
        with partial.open("rb") as handle:
            os.fsync(handle.fileno())
        os.replace(partial, file)
        sync_folder(self.folder)
        for old in self._files()[KEPT:]:
            old.unlink()

    def latest(self, log: Callable[[str], None]) -> tuple[int, State] | None:
        """The newest sound checkpoint: (steps, state on the CPU). Says why it refuses others."""
        for file in self._files():
            try:
                step, state = self._read(file)
            except (SafetensorError, OSError, ValueError) as error:
                log(f"{file}: checkpoint refused: {error}")
                file.unlink()
            else:
                return step, state
        return None

    def _files(self) -> list[Path]:
        """Newest first."""
        return sorted(self.folder.glob("*.safetensors"), reverse=True)

    def _read(self, file: Path) -> tuple[int, State]:
        with safe_open(file, framework="pt") as content:
            facts = content.metadata() or {}
            state = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118
        if facts.get("digest") != self.digest:
            raise ValueError("it is of another spec")
        if facts.get("sha256") != _hash(state):
            raise ValueError("its content is damaged")
        return int(facts["step"]), state


def _hash(state: State) -> str:
    sha = hashlib.sha256()
    for name in sorted(state):
        sha.update(name.encode() + b"\0")
        sha.update(state[name].reshape(-1).view(torch.uint8).numpy().data)
    return sha.hexdigest()

"""Loading a model by its identity, with its hooks by name. Never runs code from a checkpoint."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from transformer_lens.hook_points import HookPoint
from transformer_lens.model_bridge import TransformerBridge

from interpsweep.context import Context
from interpsweep.errors import UserError, nearest
from interpsweep.models import native
from interpsweep.models.identity import checkpoint_files, prefetch_command

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
_LEVEL = 1  # of hooks that last for one forward pass only
_ENTRY_OF_NORM = re.compile(r"(^|\.)ln\w*\.hook_in$")


@dataclass(frozen=True)
class LoadedModel:
    """A model ready for forward passes.

    `causal` is False for encoders: their logits are no next-token predictions, so cross-entropy
    of the next token means nothing for them. `tokenizer` is None for models trained here.
    """

    bridge: TransformerBridge
    name: str
    device: str
    causal: bool
    tokenizer: Any | None

    @property
    def d_model(self) -> int:
        """Width of the residual stream."""
        return int(self.bridge.cfg.d_model)

    @property
    def n_layers(self) -> int:
        """Number of blocks."""
        return int(self.bridge.cfg.n_layers)

    @property
    def n_ctx(self) -> int:
        """Longest context, in tokens."""
        return int(self.bridge.cfg.n_ctx)

    @property
    def n_vocabulary(self) -> int:
        """Number of tokens that the model knows."""
        return int(self.bridge.cfg.d_vocab)

    @cached_property
    def hooks(self) -> dict[str, HookPoint]:
        """Hook points by every name the bridge knows, aliases such as hook_resid_post included."""
        return dict(self.bridge.hook_dict)

    @contextmanager
    def hooked(self, functions: Mapping[str, Callable[..., Any]]) -> Iterator[None]:
        """Attach ``function(activations, hook)`` to hooks by name, for the length of the block.

        A function that returns a tensor replaces the activations.
        """
        points = {name: self.hooks[name] for name in functions}
        for name, point in points.items():
            point.add_hook(functions[name], level=_LEVEL)
        try:
            yield
        finally:
            for point in points.values():
                point.remove_hooks("fwd", level=_LEVEL)

    def replaceable(self, site: str) -> bool:
        """Whether replacing the activations of `site` replaces them for everything downstream.

        Not so for ``hook_resid_mid``: the bridge reads it at the entry of a layer norm, and the
        skip connection goes around that.
        """
        return not _ENTRY_OF_NORM.search(_name(self.hooks[site]))

    def check_sites(self, sites: Iterable[str]) -> list[str]:
        """One message for each of `sites` that cannot be captured; empty if all can."""
        return [message for site in sites if (message := self._check(site))]

    def site_widths(self, sites: Iterable[str]) -> dict[str, int]:
        """Width of each site's activations (heads flattened). Raises UserError for a bad site."""
        widths = {}
        for site in sites:
            if message := self._check(site):
                raise UserError(message)
            widths[site] = self._probed[_name(self.hooks[site])][1]
        return widths

    def _check(self, site: str) -> str | None:
        usable = [
            name
            for name, hook in self.hooks.items()
            if self._probed.get(_name(hook), (False, 0))[0]
        ]
        if site not in self.hooks:
            return f"model {self.name}: no hook is called {site!r}{nearest(site, usable)}"
        probed = self._probed.get(_name(self.hooks[site]))
        if probed is None:
            return f"model {self.name}: hook {site!r} never fires in a plain forward pass"
        if not probed[0]:
            return (
                f"model {self.name}: {site!r} is not one vector per token, so it cannot be a site"
            )
        return None

    @cached_property
    def _probed(self) -> dict[str, tuple[bool, int]]:
        """Canonical hook name -> (is it a vector per token, its width), by a tiny forward pass."""
        shape = (2, 5)  # of tokens; told apart from heads and widths by a second length
        fired = [self._fire(shape[0], length) for length in (shape[1], shape[1] - 1)]
        found = {}
        for name, (form, floating) in fired[0].items():
            per_token = floating and len(form) >= 3 and form[:2] == shape
            other = fired[1].get(name, ((), False))[0]
            width = int(torch.Size(form[2:]).numel())
            same = per_token and other[:2] == (shape[0], shape[1] - 1) and other[2:] == form[2:]
            found[name] = (bool(same), width)
        return found

    @torch.inference_mode()
    def _fire(self, batch: int, length: int) -> dict[str, tuple[tuple[int, ...], bool]]:
        seen: dict[str, tuple[tuple[int, ...], bool]] = {}

        def look(tensor: Any, hook: HookPoint) -> None:
            if isinstance(tensor, torch.Tensor):
                seen[_name(hook)] = (tuple(tensor.shape), tensor.is_floating_point())

        names = {_name(hook): look for hook in self.hooks.values()}
        with self.hooked(names):
            self.bridge(torch.zeros((batch, length), dtype=torch.long, device=self.device))
        return seen


def _name(hook: HookPoint) -> str:
    """The canonical name of a hook, whichever alias it was found by."""
    return str(hook.name)


def load_model(
    identity: dict[str, Any], path: Path | None, ctx: Context, dtype: str | None = None
) -> LoadedModel:
    """Load the model with this identity (see `config.models.model_identity`).

    `path` is the artifact of a model made here, and None for others: a checkpoint directory
    comes from ``ctx.external``, a hub model from the local cache, as jobs never use the network.
    """
    torch.set_num_threads(max(1, ctx.threads))
    numbers = DTYPES[dtype or identity.get("dtype", "float32")]
    if identity["source"] in ("trained", "gguf"):
        if path is None:
            raise ValueError("a model made here is loaded from its artifact, which was not given")
        if identity["source"] == "gguf":
            return _load_checkpoint(path, "of a GGUF file", ctx.device, numbers)
        bridge = native.load(path, ctx.device, numbers)
        return LoadedModel(bridge, "trained here", ctx.device, causal=True, tokenizer=None)
    if identity["source"] == "path":
        folder = ctx.external(identity["weights"])
        return _load_checkpoint(folder, folder.name, ctx.device, numbers)
    folder = hub_folder(identity["repo"], identity["commit"])
    return _load_checkpoint(folder, identity["repo"], ctx.device, numbers)


def hub_folder(repo: str, commit: str) -> Path:
    """A hub model in the local cache; UserError with the remedy if it is not wholly there."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(repo, revision=commit, local_files_only=True))
        _whole(folder)
    except (LocalEntryNotFoundError, FileNotFoundError) as error:
        raise UserError(
            f"{repo} at commit {commit} is not (wholly) in the local Hugging Face cache, and jobs "
            f"never use the network. Run this on a machine with network and the same cache: "
            f"{prefetch_command(repo, commit)}"
        ) from error
    return folder


def _whole(folder: Path) -> None:
    """Raise FileNotFoundError unless the checkpoint's config and all its shards are there."""
    if not (folder / "config.json").is_file():
        raise FileNotFoundError(folder / "config.json")
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        shards = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    else:
        shards = {"model.safetensors"}
    for shard in sorted(shards):
        if Path(shard).name != shard or not (folder / shard).is_file():
            raise FileNotFoundError(folder / shard)


def load_without_weights(folder: Path, name: str) -> LoadedModel:
    """The model of a checkpoint directory that has no weights yet, with random ones, on the CPU."""
    return _load_checkpoint(folder, name, "cpu", torch.float32, weights=False)


def _load_checkpoint(
    folder: Path, name: str, device: str, dtype: torch.dtype, weights: bool = True
) -> LoadedModel:
    if weights:
        checkpoint_files(folder)  # refuses pickled weights before anything reads them
    os.environ["HF_HUB_OFFLINE"] = "1"
    try:
        bridge = TransformerBridge.boot_transformers(
            str(folder), device=device, dtype=dtype, trust_remote_code=False, load_weights=weights
        )
    except ValueError as error:
        raise UserError(f"{folder}: TransformerLens cannot load this model ({error})") from error
    bridge.eval()
    causal = getattr(bridge.cfg, "attention_dir", "causal") == "causal"
    return LoadedModel(bridge, name, device, causal, bridge.tokenizer)

"""Fast tokenizers: text to ids with character offsets, and readable strings of every token."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from interpsweep.errors import UserError

if TYPE_CHECKING:
    import tokenizers

    from interpsweep.context import Context

_FILES = [
    "tokenizer*",
    "special_tokens_map.json",
    "config.json",
    "vocab.*",
    "merges.txt",
    "*.model",
]


class Encoded(NamedTuple):
    """A text as tokens, without marks such as BOS."""

    ids: np.ndarray  # int32 (n,)
    offsets: np.ndarray  # int64 (n, 2): first character and one past the last of each token


def open_tokenizer(identity: dict[str, Any], ctx: Context, prepend_bos: bool = True) -> Tokenizer:
    """The tokenizer of a model: ``{"source": "path", "files": digest}`` or a hub commit."""
    if identity["source"] == "path":
        return Tokenizer(ctx.external(identity["files"]), prepend_bos)
    from huggingface_hub import snapshot_download

    repo, commit = identity["repo"], identity["commit"]
    try:
        folder = snapshot_download(repo, revision=commit, allow_patterns=_FILES)
    except OSError as error:
        raise UserError(
            f"{repo}@{commit}: its tokenizer is not in the local cache and the hub is out of "
            f"reach; on a machine with network: hf download {repo} --revision {commit}"
        ) from error
    return Tokenizer(Path(folder), prepend_bos)


class Tokenizer:
    """The fast tokenizer in a checkpoint folder.

    `prefix` and `suffix` are the ids that the model expects around every context: CLS and SEP, or
    BOS, or nothing. `prepend_bos` decides about BOS only.
    """

    def __init__(self, folder: Path, prepend_bos: bool = True) -> None:
        self.folder = folder
        self._fast = _load(folder)
        self._fast.no_truncation()  # a saved tokenizer may cut or pad every text
        self._fast.no_padding()
        self.prefix, self.suffix = self._marks(prepend_bos)

    def encode(self, texts: Sequence[str]) -> list[Encoded]:
        """Tokens of each text, without marks."""
        return [
            Encoded(
                np.array(encoding.ids, np.int32),
                np.array(encoding.offsets, np.int64).reshape(-1, 2),
            )
            for encoding in self._fast.encode_batch(list(texts), add_special_tokens=False)
        ]

    def _marks(self, prepend_bos: bool) -> tuple[list[int], list[int]]:
        bare = self._fast.encode("a", add_special_tokens=False).ids
        full = self._fast.encode("a", add_special_tokens=True).ids
        start = next(i for i in range(len(full)) if full[i : i + len(bare)] == bare)
        prefix, suffix = full[:start], full[start + len(bare) :]
        bos = self._bos()
        if suffix or (prefix and prefix != [bos]):
            return prefix, suffix  # a bidirectional model: its marks are part of the input
        return ([bos] if prepend_bos and bos is not None else []), []

    def _bos(self) -> int | None:
        """Id of the BOS token as the folder's settings name it."""
        for name in ("tokenizer_config.json", "special_tokens_map.json"):
            token = _json(self.folder / name).get("bos_token")
            token = token.get("content") if isinstance(token, dict) else token
            if token is not None:
                return self._fast.token_to_id(token)
        return _json(self.folder / "config.json").get("bos_token_id")

    @cached_property
    def vocabulary(self) -> list[str]:
        """Readable string of every id; a word's first token starts with a space."""
        by_id = {i: token for token, i in self._fast.get_vocab(with_added_tokens=True).items()}
        added = {i: token.content for i, token in self._fast.get_added_tokens_decoder().items()}
        readable = _reader(json.loads(self._fast.to_str()))
        size = max(by_id) + 1
        return [
            added[i] if i in added else readable(by_id[i]) if i in by_id else ""
            for i in range(size)
        ]


def _load(folder: Path) -> tokenizers.Tokenizer:
    import tokenizers

    if (folder / "tokenizer.json").is_file():
        return tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    from transformers import AutoTokenizer

    try:
        slow_or_fast = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    except (OSError, ValueError) as error:
        raise UserError(f"{folder}: no tokenizer can be read there ({error})") from error
    backend = getattr(slow_or_fast, "backend_tokenizer", None)
    if backend is None:
        raise UserError(
            f"{folder}: only a slow tokenizer, which gives no character offsets; save a fast one "
            "(tokenizer.json) with transformers' convert_slow_tokenizer"
        )
    return backend


def _json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _reader(description: dict[str, Any]) -> Any:
    """How the pieces of this kind of tokenizer read: a function str -> str."""
    kinds = _kinds(description.get("decoder")) | _kinds(description.get("pre_tokenizer"))
    if "ByteLevel" in kinds:
        table = {char: byte for byte, char in _byte_characters().items()}
        return lambda token: bytes(
            b for char in token for b in ([table[char]] if char in table else char.encode())
        ).decode("utf-8", errors="replace")
    if "WordPiece" in kinds:
        return lambda token: token[2:] if token.startswith("##") else f" {token}"
    return lambda token: token.replace("\u2581", " ")


def _kinds(node: Any) -> set[str]:
    """Every "type" in a tokenizer's description."""
    if isinstance(node, dict):
        own = {node["type"]} if isinstance(node.get("type"), str) else set()
        return own.union(*(_kinds(child) for child in node.values()))
    if isinstance(node, list):
        return set().union(*(_kinds(child) for child in node))
    return set()


def _byte_characters() -> dict[int, str]:
    """Byte -> the character that byte-level BPE writes for it (itself where printable)."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {b: chr(b) for b in printable} | {b: chr(256 + i) for i, b in enumerate(others)}

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


def open_tokenizer(
    identity: dict[str, Any], model: Path | None, ctx: Context, settings: Any
) -> Tokenizer:
    """The tokenizer of a model: ``{"source": "path", "files": digest}``, a hub commit, or the one
    in `model`, the artifact of a checkpoint that was made here.

    `settings` are those of the corpus.
    """
    return Tokenizer(_folder(identity, model, ctx), settings.prepend_bos, settings.special_tokens)


def _folder(identity: dict[str, Any], model: Path | None, ctx: Context) -> Path:
    if identity["source"] == "model":
        if model is None:
            raise ValueError("the tokenizer is in a model's artifact, which was not given")
        return model
    if identity["source"] == "path":
        return ctx.external(identity["files"])
    from huggingface_hub import snapshot_download

    repo, commit = identity["repo"], identity["commit"]
    try:
        return Path(snapshot_download(repo, revision=commit, allow_patterns=_FILES))
    except OSError as error:
        raise UserError(
            f"{repo}@{commit}: its tokenizer is not in the local cache and the hub is out of "
            f"reach; on a machine with network: hf download {repo} --revision {commit}"
        ) from error


class Tokenizer:
    """The fast tokenizer in a checkpoint folder.

    `prefix` and `suffix` are the ids that the model expects around every context: CLS and SEP, or
    BOS, or nothing. `prepend_bos` decides about BOS only: yes, no, or a token of the vocabulary.
    `special_tokens` says what one becomes that is written out in a text: ``text``, its letters, or
    ``tokens``, itself. `notes` are sentences for whoever makes a corpus with it.
    """

    def __init__(
        self, folder: Path, prepend_bos: bool | str = True, special_tokens: str = "text"
    ) -> None:
        self.folder = folder
        self.notes: list[str] = []
        self._fast = _load(folder)
        self._fast.no_truncation()  # a saved tokenizer may cut or pad every text
        self._fast.no_padding()
        self._bos_of = ""
        self.prefix, self.suffix = self._marks(prepend_bos)
        self._fast.encode_special_tokens = special_tokens == "text"

    def encode(self, texts: Sequence[str]) -> list[Encoded]:
        """Tokens of each text, without marks, those that it begins or ends with included."""
        return [
            self._bare(
                np.array(encoding.ids, np.int32),
                np.array(encoding.offsets, np.int64).reshape(-1, 2),
            )
            for encoding in self._fast.encode_batch(list(texts), add_special_tokens=False)
        ]

    def _bare(self, ids: np.ndarray, offsets: np.ndarray) -> Encoded:
        """Without the marks that every context gets anyway: no context opens with two BOS."""
        first, last = 0, len(ids)
        n, m = len(self.prefix), len(self.suffix)
        while n and ids[first : first + n].tolist() == self.prefix:
            first += n
        while m and last - m >= first and ids[last - m : last].tolist() == self.suffix:
            last -= m
        return Encoded(ids[first:last], offsets[first:last])

    @cached_property
    def is_special(self) -> np.ndarray:
        """bool (vocabulary,): tokens that stand for no text, wherever they are."""
        found = np.zeros(len(self.vocabulary), bool)
        found[self._special_added] = True
        if (unknown := self._unknown) is not None:
            found[unknown] = False  # it stands for text, one that the vocabulary lacks
        found[[*self.prefix, *self.suffix]] = True
        return found

    @cached_property
    def _special_added(self) -> list[int]:
        added = self._fast.get_added_tokens_decoder()
        return [number for number, token in added.items() if token.special]

    @property
    def _unknown(self) -> int | None:
        """Id of what stands for text that the vocabulary lacks; none where bytes spell it out."""
        model = self._description["model"]
        if model.get("byte_fallback") or "ByteLevel" in _kinds(self._description["pre_tokenizer"]):
            return None
        token = model.get("unk_token")
        return model.get("unk_id") if token is None else self._fast.token_to_id(token)

    @property
    def marks(self) -> str:
        """What contexts are wrapped in, and who says so."""
        names = self.vocabulary
        shown = [" ".join(names[i] for i in ids) for ids in (self.prefix, self.suffix)]
        if not any(shown):
            return "no marks"
        of = f" (by {self._bos_of})" if self._bos_of else ""
        return " ... ".join(filter(None, [shown[0] + of, shown[1]]))

    def _marks(self, prepend_bos: bool | str) -> tuple[list[int], list[int]]:
        bare = self._fast.encode("a", add_special_tokens=False).ids
        full = self._fast.encode("a", add_special_tokens=True).ids
        start = next(i for i in range(len(full)) if full[i : i + len(bare)] == bare)
        prefix, suffix = full[:start], full[start + len(bare) :]
        bos = None if suffix else self._bos(prepend_bos is True)
        if suffix or (prefix and prefix != [bos]):
            if isinstance(prepend_bos, str):
                raise UserError(
                    f"corpus.prepend_bos: {prepend_bos!r}: the tokenizer in {self.folder} has "
                    "marks of its own; true or false"
                )
            self._bos_of = ""
            return prefix, suffix  # a bidirectional model: its marks are part of the input
        if isinstance(prepend_bos, str):
            bos = self._named(prepend_bos)
        elif prepend_bos and bos is None:
            self._note_no_bos()
        return ([] if bos is None or not prepend_bos else [bos]), []

    def _named(self, token: str) -> int:
        """Id of the token that the corpus names as BOS."""
        self._bos_of = "corpus.prepend_bos"
        number = self._id(token, self._bos_of)
        if number not in self._special_added:
            raise UserError(
                f"{self._bos_of}: {token!r} is a token of texts; name a special one, which is "
                "marked wherever it stands"
            )
        return number

    def _bos(self, needed: bool) -> int | None:
        """Id of the BOS token by the folder's settings; what is null there is none.

        Raises UserError for one that no token has, if it is `needed`.
        """
        for name in ("tokenizer_config.json", "special_tokens_map.json"):
            settings = _json(self.folder / name)
            if "bos_token" in settings:
                self._bos_of = name
                token = settings["bos_token"]
                token = token.get("content") if isinstance(token, dict) else token
                found = self._find(token)
                if token is None or found is not None or not needed:
                    return found
                return self._id(token, f"{self.folder / name}")
        self._bos_of = "config.json"
        number = _json(self.folder / "config.json").get("bos_token_id")
        if number is None or self._token(number) is not None:
            return number
        if not needed:
            return None
        raise UserError(
            f"{self.folder / 'config.json'}: bos_token_id {number!r} is not in the vocabulary "
            f"of {self._fast.get_vocab_size()} tokens; correct it, name a token as "
            "corpus.prepend_bos, or set that to false"
        )

    def _note_no_bos(self) -> None:
        token = self._token(_json(self.folder / "config.json").get("bos_token_id"))
        if token is not None:
            self.notes.append(
                f"contexts open with no BOS: the tokenizer's settings say that there is none. The "
                f"model's config.json names {token!r}; corpus.prepend_bos: {token!r} opens them "
                "with it"
            )

    def _token(self, number: Any) -> str | None:
        sound = type(number) is int and 0 <= number < 1 << 32
        return self._fast.id_to_token(number) if sound else None

    def _find(self, token: Any) -> int | None:
        return self._fast.token_to_id(token) if isinstance(token, str) else None

    def _id(self, token: Any, where: str) -> int:
        number = self._find(token)
        if number is None:
            raise UserError(
                f"{where}: the BOS token {token!r} is not in the vocabulary of {self.folder}; "
                "name one that is as corpus.prepend_bos, or set that to false"
            )
        return number

    @cached_property
    def _description(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._fast.to_str())
        return found

    @cached_property
    def vocabulary(self) -> list[str]:
        """Readable string of every id; a word's first token starts with a space."""
        by_id = {i: token for token, i in self._fast.get_vocab(with_added_tokens=True).items()}
        added = {i: token.content for i, token in self._fast.get_added_tokens_decoder().items()}
        readable = _reader(self._description)
        size = max(by_id) + 1
        return [
            added[i] if i in added else readable(by_id[i]) if i in by_id else ""
            for i in range(size)
        ]


def _load(folder: Path) -> tokenizers.Tokenizer:
    import tokenizers

    if (folder / "tokenizer.json").is_file():
        try:
            return tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        except Exception as error:  # the library raises no narrower class
            raise UserError(f"{folder / 'tokenizer.json'}: not a tokenizer ({error})") from error
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
    try:
        found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except ValueError as error:
        raise UserError(f"{path}: not JSON ({error}); fetch the checkpoint again") from None
    return found if isinstance(found, dict) else {}


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

"""Models in one GGUF file, quantised or not: looked at, and made into an ordinary checkpoint.

The file is the format of llama.cpp. `transformers` undoes the quantisation and the file's order of
rows; what it would pass over in silence is an error here: tensors that are missing, numbers that
are not finite. Only text of the file is used, nothing in it is run: chat templates are dropped.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from interpsweep.context import Context
from interpsweep.errors import UserError
from interpsweep.models.identity import gguf_file
from interpsweep.tables import write_json

WEIGHTS, CONFIG = "model.safetensors", "config.json"
_ARCHITECTURE = "general.architecture"
_PARTS = "split.count"
_TOKENS = "tokenizer.ggml.tokens"
_CUTTER = "tokenizer.ggml.pre"
_ENVIRONMENT = ("_name_or_path", "transformers_version", "quantization_config")

# How text is cut before pairs are merged, where it is not as GPT-2 does it. The file only names
# it. A regular expression, or "digits": every digit by itself, the rest as GPT-2.
_DIGITS = "digits"
_LETTERS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+"
_OTHERS = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_CUTS = {
    "smollm": _DIGITS,
    "llama-bpe": rf"{_LETTERS}|\p{{N}}{{1,3}}|{_OTHERS}",
    "qwen2": rf"{_LETTERS}|\p{{N}}|{_OTHERS}",
}
_AS_GPT2 = ("gpt-2", "default")


class Facts(NamedTuple):
    """What a GGUF file says of its model."""

    architecture: str
    d_model: int
    n_layers: int
    vocabulary: int
    quantisation: tuple[str, ...]  # of its tensors, sorted
    cutter: str | None  # name of what cuts text before pairs are merged


def look(path: Path) -> Facts:
    """What a GGUF file says of its model, once it is sure that it can be made into a checkpoint.

    Raises UserError for a file that is missing, damaged, one of several, or of an architecture or
    a quantisation that cannot be read here.
    """
    found = gguf_file(path).stat()
    return _look(path, found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=8)  # it takes seconds to list the tokens in a file
def _look(path: Path, _size: int, _changed: int) -> Facts:
    reader = _reader(path)
    architecture = _text(reader, _ARCHITECTURE)
    known = _architectures()
    if architecture is None or architecture not in known:
        raise UserError(
            f"{path}: architecture {architecture!r} cannot be made into a checkpoint; those that "
            f"can are {', '.join(sorted(known))}"
        )
    if (_number(reader, _PARTS) or 1) > 1:
        raise UserError(f"{path}: one of several parts; join them with llama.cpp's gguf-split")
    if _TOKENS not in reader.fields:
        raise UserError(f"{path}: no tokenizer in it; take a file that has one")
    return Facts(
        architecture,
        _number(reader, f"{architecture}.embedding_length") or 0,
        _number(reader, f"{architecture}.block_count") or 0,
        len(reader.fields[_TOKENS].data),
        _quantisation(path, reader),
        _text(reader, _CUTTER),
    )


def convert(settings: dict[str, Any], out: Path, ctx: Context) -> dict[str, Any]:
    """Write the checkpoint of the file that ``settings["weights"]`` names by content into `out`.

    ``model.safetensors`` holds float32, which every quantisation fits into exactly; what the
    manifest sums up is returned.
    """
    path = ctx.external(settings["weights"])
    found = describe(path, out, ctx)
    with ctx.bar(1, "undoing the quantisation", unit="models") as bar:
        parameters = _write_weights(path, out)
        bar.advance()
    return {
        "architecture": found.architecture,
        "parameters": parameters,
        "quantisation": ", ".join(found.quantisation),
        "vocabulary": found.vocabulary,
    }


def describe(path: Path, out: Path, ctx: Context) -> Facts:
    """Write the configuration and the tokenizer of a GGUF file into `out`, without weights."""
    found = look(path)
    _write_config(path, out)
    note = _write_tokenizer(path, out, found.cutter)
    if note:
        ctx.log(f"{path}: {note}")
    return found


# ---------------------------------------------------------------- looking


def _reader(path: Path) -> Any:
    try:
        import gguf
    except ImportError as error:
        raise UserError(
            f"{path}: GGUF files are read by the package gguf, which is not installed: "
            "pip install gguf"
        ) from error
    try:
        return gguf.GGUFReader(path)
    except Exception as error:  # whatever a random file leads its arithmetic to
        if gguf.GGMLQuantizationType.__name__ in str(error):
            raise UserError(
                f"{path}: a quantisation that the installed gguf does not know ({error}); update "
                "it, or take a file of another quantisation, such as Q8_0 or F16"
            ) from error
        raise UserError(
            f"{path}: not a GGUF file, or a damaged one ({error}); fetch it again"
        ) from error


def _architectures() -> set[str]:
    from transformers.modeling_gguf_pytorch_utils import GGUF_SUPPORTED_ARCHITECTURES

    return set(GGUF_SUPPORTED_ARCHITECTURES)


def _quantisation(path: Path, reader: Any) -> tuple[str, ...]:
    from gguf import dequantize

    kinds = {tensor.tensor_type: tensor for tensor in reader.tensors}
    for kind, tensor in kinds.items():
        rows = tensor.data.reshape(-1, tensor.data.shape[-1])
        try:
            dequantize(rows[:1], kind)
        except NotImplementedError as error:
            raise UserError(
                f"{path}: {tensor.name} is quantised as {kind.name}, which cannot be undone here; "
                "take a file of another quantisation, such as Q8_0 or F16"
            ) from error
    return tuple(sorted(kind.name for kind in kinds))


def _text(reader: Any, key: str) -> str | None:
    field = reader.get_field(key)
    return None if field is None else str(field.contents())


def _number(reader: Any, key: str) -> int | None:
    field = reader.get_field(key)
    return None if field is None else int(field.contents())


# ---------------------------------------------------------------- writing


def _write_config(path: Path, out: Path) -> None:
    """The configuration, with the class of the model and nothing of this environment."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    with _quietly(path):
        config = AutoConfig.from_pretrained(path.parent, gguf_file=path.name, local_files_only=True)
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config)
    said = {k: v for k, v in config.to_dict().items() if k not in _ENVIRONMENT}
    write_json({**said, "architectures": [type(model).__name__], "dtype": "float32"}, out / CONFIG)


def _write_weights(path: Path, out: Path) -> int:
    """The weights, float32; how many there are. Tied ones are written, and counted, once."""
    import torch
    from safetensors.torch import save_file
    from transformers import AutoModelForCausalLM

    with _quietly(path):
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            path.parent,
            gguf_file=path.name,
            dtype=torch.float32,
            local_files_only=True,
            output_loading_info=True,
            **_dequantised(),
        )
    model, told = loaded
    if missing := sorted(told["missing_keys"]):
        raise UserError(
            f"{path}: no tensors for {', '.join(missing[:3])} ({len(missing)} in all); fetch it "
            "again"
        )
    kept: dict[str, torch.Tensor] = {}
    places = set()
    for name, tensor in model.state_dict().items():
        if tensor.data_ptr() not in places:
            places.add(tensor.data_ptr())
            kept[name] = tensor.contiguous()
    for name, tensor in kept.items():
        if not torch.isfinite(tensor).all():
            raise UserError(f"{path}: {name} has numbers that are not finite; fetch the file again")
    save_file(kept, out / WEIGHTS, metadata={"format": "pt"})
    return sum(tensor.numel() for tensor in kept.values())


def _dequantised() -> dict[str, Any]:
    """What asks for plain weights; releases before it know nothing else."""
    import transformers

    config = getattr(transformers, "GgufConfig", None)
    return {} if config is None else {"quantization_config": config(dequantize=True)}


def _write_tokenizer(path: Path, out: Path, cutter: str | None) -> str:
    """The fast tokenizer; what there is to say about how it cuts text, or nothing."""
    from transformers import AutoTokenizer

    with _quietly(path):
        tokenizer = AutoTokenizer.from_pretrained(
            path.parent, gguf_file=path.name, local_files_only=True
        )
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise UserError(f"{path}: its tokenizer gives no character offsets; take another file")
    note = ""
    if cutter in _CUTS:
        backend.pre_tokenizer = _cuts(_CUTS[cutter])
    elif cutter is not None and cutter not in _AS_GPT2:
        note = (
            f"its tokenizer cuts text as {cutter!r}, which is not known here; the guess is "
            f"{type(backend.pre_tokenizer).__name__}, and numbers or spaces may be cut otherwise "
            "than the model knows"
        )
    tokenizer.chat_template = None
    tokenizer.save_pretrained(out)
    return note


def _cuts(how: str) -> Any:
    from tokenizers import Regex
    from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence, Split

    if how == _DIGITS:
        return Sequence([Digits(individual_digits=True), ByteLevel(add_prefix_space=False)])
    split = Split(Regex(how), behavior="isolated")
    return Sequence([split, ByteLevel(add_prefix_space=False, use_regex=False)])


@contextmanager
def _quietly(path: Path) -> Iterator[None]:
    """What `transformers` cannot make of a file is one line; its progress bars are nobody's."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    import transformers

    logger = logging.getLogger("transformers")
    level, bars = logger.level, transformers.utils.logging.is_progress_bar_enabled()
    logger.setLevel(logging.ERROR)
    transformers.utils.logging.disable_progress_bar()
    try:
        yield
    except (ValueError, KeyError, IndexError, RuntimeError, NotImplementedError) as error:
        raise UserError(
            f"{path}: transformers cannot make a checkpoint of it ({error}); fetch it again, or "
            "take another file"
        ) from error
    finally:
        logger.setLevel(level)
        if bars:
            transformers.utils.logging.enable_progress_bar()

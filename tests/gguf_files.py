"""A tiny Llama in a GGUF file, as llama.cpp's converter would write it: a few hundred kilobytes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

D, LAYERS, HEADS, KV_HEADS, D_MLP, CONTEXT = 64, 2, 4, 2, 96, 32
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
MERGES = (
    "Ġ t",
    "h e",
    "Ġt he",
    "Ġ a",
    "i n",
    "1 9",
    "Ġ M",
    "o n",
    "d a",
    "da y",
    "ĠM on",
    "ĠMon day",
)


@dataclass(frozen=True)
class Llama:
    """Weights by their names in `transformers`, as they were before they were written."""

    weights: dict[str, np.ndarray]
    tokens: list[str]


def llama(seed: int = 0) -> Llama:
    """A random Llama with fewer key-value heads than heads, and a byte-level vocabulary."""
    rng = np.random.default_rng(seed)
    tokens = [*SPECIAL, *_bytes(), *("".join(merge.split()) for merge in MERGES)]
    head = D // HEADS

    def matrix(*shape: int) -> np.ndarray:
        return rng.normal(0, shape[-1] ** -0.5, shape).astype(np.float32)

    weights = {"model.embed_tokens.weight": matrix(len(tokens), D), "model.norm.weight": _norm(rng)}
    for i in range(LAYERS):
        at = f"model.layers.{i}"
        weights |= {
            f"{at}.input_layernorm.weight": _norm(rng),
            f"{at}.post_attention_layernorm.weight": _norm(rng),
            f"{at}.self_attn.q_proj.weight": matrix(D, D),
            f"{at}.self_attn.k_proj.weight": matrix(KV_HEADS * head, D),
            f"{at}.self_attn.v_proj.weight": matrix(KV_HEADS * head, D),
            f"{at}.self_attn.o_proj.weight": matrix(D, D),
            f"{at}.mlp.gate_proj.weight": matrix(D_MLP, D),
            f"{at}.mlp.up_proj.weight": matrix(D_MLP, D),
            f"{at}.mlp.down_proj.weight": matrix(D, D_MLP),
        }
    return Llama(weights, tokens)


_NAMES = {"model.embed_tokens": "token_embd", "model.norm": "output_norm",
          "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
          "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
          "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
          "mlp.down_proj": "ffn_down"}  # fmt: skip


def write_gguf(path: Path, model: Llama | None = None, *, kind: str = "Q8_0", architecture: str = "llama",
               cutter: str = "smollm", leave_out: str = "", parts: int = 1, tokenizer: bool = True) -> Llama:  # fmt: skip
    """Write a Llama, its matrices quantised as `kind`; one tensor and the tokenizer can be left out."""
    import gguf

    model = model or llama()
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_name("tiny")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(D)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(D_MLP)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_dimension_count(D // HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(model.tokens))
    if parts > 1:
        writer.add_uint16("split.count", parts)
    if tokenizer:
        _add_tokenizer(writer, model, cutter)
    for name, tensor in model.weights.items():
        if name != leave_out:
            _add_tensor(writer, name, tensor, kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return model


def _add_tokenizer(writer: Any, model: Llama, cutter: str) -> None:
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(cutter)
    writer.add_token_list(model.tokens)
    writer.add_token_types([3] * len(SPECIAL) + [1] * (len(model.tokens) - len(SPECIAL)))
    writer.add_token_merges(list(MERGES))
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)


def _add_tensor(writer: Any, name: str, tensor: np.ndarray, kind: str) -> None:
    import gguf

    inner = name.removesuffix(".weight")
    block = inner.removeprefix("model.layers.") if inner.startswith("model.layers.") else ""
    number, _, rest = block.partition(".")
    written = f"blk.{number}.{_NAMES[rest]}.weight" if block else f"{_NAMES[inner]}.weight"
    for end, heads in (("q_proj", HEADS), ("k_proj", KV_HEADS)):
        if inner.endswith(end):
            tensor = _permuted(tensor, heads)
    if tensor.ndim == 1:
        writer.add_tensor(written, tensor)
        return
    sort = gguf.GGMLQuantizationType[kind]
    writer.add_tensor(written, gguf.quantize(tensor, sort), raw_dtype=sort)


def _permuted(tensor: np.ndarray, heads: int) -> np.ndarray:
    """The order of rows of queries and keys in the file: halves of a rotation side by side."""
    rows, columns = tensor.shape
    split = tensor.reshape(heads, 2, rows // heads // 2, columns)
    return split.swapaxes(1, 2).reshape(rows, columns)


def _norm(rng: np.random.Generator) -> np.ndarray:
    return rng.uniform(0.5, 1.5, D).astype(np.float32)


def _bytes() -> list[str]:
    """The characters that byte-level vocabularies write for bytes, by byte."""
    from interpsweep.corpora.tokenizer import _byte_characters

    table = _byte_characters()
    return [table[byte] for byte in range(256)]

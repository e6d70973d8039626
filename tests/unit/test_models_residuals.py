"""What a block's parts add to the residual stream is at the hooks that are called so.

For models that do it in their own ways: residuals added inside a module, norms after it, factors.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import transformers as hf
from tokenizers import Tokenizer, models

from interpsweep.models.forward import forward_sites
from interpsweep.models.load import _load_checkpoint

SIZE = {"vocab_size": 64, "hidden_size": 32}
LLAMA = {**SIZE, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
MODELS = {
    "Bloom": {**SIZE, "n_layer": 2, "n_head": 4},
    "Olmo2": LLAMA,
    "Granite": {**LLAMA, "residual_multiplier": 0.3},
    "Gemma2": {**LLAMA, "num_key_value_heads": 4, "head_dim": 8},
}


def checkpoint(folder: Path, kind: str) -> Path:
    torch.manual_seed(0)
    config = getattr(hf, f"{kind}Config")(**MODELS[kind])
    model = getattr(hf, f"{kind}ForCausalLM")(config)
    for weight in model.parameters():
        if weight.ndim == 1:  # norms that are not those of an untrained model
            weight.data = 1 + 0.3 * torch.randn_like(weight)
    model.save_pretrained(folder)
    words = {f"w{i}": i for i in range(SIZE["vocab_size"])}
    Tokenizer(models.WordLevel(words, unk_token="w0")).save(str(folder / "tokenizer.json"))
    about = {"tokenizer_class": "PreTrainedTokenizerFast"}
    (folder / "tokenizer_config.json").write_text(json.dumps(about))
    return folder


@pytest.mark.parametrize("kind", MODELS)
def test_parts_of_a_block_add_up(tmp_path, kind: str) -> None:
    model = _load_checkpoint(checkpoint(tmp_path, kind), kind, "cpu", torch.float32)
    parts = ("resid_pre", "attn_out", "mlp_out", "resid_post")
    sites = {f"blocks.1.hook_{part}": part for part in parts}
    found = forward_sites(model, torch.arange(3, 13)[None], list(sites), lambda _, a: a.clone())
    got = {sites[site]: activations for site, activations in found.items()}
    whole = got["resid_pre"] + got["attn_out"] + got["mlp_out"]
    torch.testing.assert_close(whole, got["resid_post"], rtol=1e-5, atol=1e-5)
    assert got["attn_out"].norm() > 0 and got["mlp_out"].norm() > 0

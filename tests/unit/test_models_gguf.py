"""GGUF files as models: a tiny Llama that the test writes, and what can be wrong with one."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

pytest.importorskip("gguf")

from gguf_files import CONTEXT, HEADS, KV_HEADS, LAYERS, SPECIAL, D, Llama, llama, write_gguf
from interpsweep.context import Context
from interpsweep.corpora.tokenizer import Tokenizer
from interpsweep.errors import UserError
from interpsweep.models import make
from interpsweep.models.forward import forward_logits, forward_sites
from interpsweep.models.gguf import look
from interpsweep.models.identity import weights_digest
from interpsweep.models.load import LoadedModel, load_model

SPEC = {"settings": {"source": "gguf", "weights": "sha256:x"}}
# half a step of each quantisation, as a share of a block's largest number (Q4_1: of its range,
# at most twice that), and what halves and minima in float16 add
HALF_STEP = {"F32": 0.0, "F16": 2**-11, "Q8_0": 0.5 / 127 + 2**-11, "Q4_1": 2 * 0.5 / 15 + 2**-8}


class Outside(Context):
    """Finds the file without a lock file."""

    def __init__(self, path: Path) -> None:
        super().__init__(device="cpu")
        self.path = path

    def external(self, identity: str) -> Path:
        return self.path


def made(path: Path, out: Path) -> dict:
    out.mkdir()
    return make.run(SPEC, {}, out, Outside(path))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gguf")
    write_gguf(folder / "tiny.gguf")
    made(folder / "tiny.gguf", folder / "checkpoint")
    return folder


@pytest.fixture(scope="module")
def model(place: Path) -> LoadedModel:
    identity = {"source": "gguf", "dtype": "float32"}
    return load_model(identity, place / "checkpoint", Context(device="cpu"))


def tokens(model: LoadedModel, length: int = 12) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, model.n_vocabulary, (3, length), generator=generator)


@pytest.mark.parametrize("kind", HALF_STEP)
def test_weights_are_those_that_were_written(kind: str, tmp_path: Path) -> None:
    """In the order that `transformers` has them, within what the quantisation rounds."""
    written: Llama = write_gguf(tmp_path / "tiny.gguf", kind=kind)
    summary = made(tmp_path / "tiny.gguf", tmp_path / "out")
    found = load_file(tmp_path / "out" / "model.safetensors")
    assert found.keys() == written.weights.keys()
    assert summary["parameters"] == sum(weight.size for weight in written.weights.values())
    assert summary["quantisation"] == ", ".join(sorted({"F32", kind}))
    for name, weight in written.weights.items():
        assert found[name].dtype == np.float32
        blocks = np.abs(weight.reshape(-1, 32) if weight.ndim == 2 else weight[None])
        allowed = HALF_STEP[kind] * blocks.max(axis=1, keepdims=True) if weight.ndim == 2 else 0.0
        error = np.abs(found[name] - weight).reshape(blocks.shape)
        assert (error <= allowed + 1e-7).all(), name


def test_the_same_file_gives_the_same_bytes(place: Path, tmp_path: Path) -> None:
    made(place / "tiny.gguf", tmp_path / "again")
    first = {path.name: path.read_bytes() for path in (place / "checkpoint").iterdir()}
    assert first == {path.name: path.read_bytes() for path in (tmp_path / "again").iterdir()}
    assert str(place) not in "".join(str(content) for content in first.values())
    assert "version" not in json.loads(first["config.json"])


def test_logits_are_those_of_transformers(place: Path, model: LoadedModel) -> None:
    from transformers import AutoModelForCausalLM

    plain = AutoModelForCausalLM.from_pretrained(
        place / "checkpoint", dtype=torch.float32, attn_implementation="eager"
    ).eval()
    ids = tokens(model)
    with torch.no_grad():
        expected = plain(ids)
        states = plain(ids, output_hidden_states=True).hidden_states
    torch.testing.assert_close(forward_logits(model, ids), expected.logits, rtol=1e-4, atol=1e-5)
    sites = [f"blocks.{layer}.hook_resid_post" for layer in range(LAYERS - 1)]
    found = forward_sites(model, ids, sites)
    for layer, site in enumerate(sites):
        torch.testing.assert_close(found[site], states[layer + 1], rtol=1e-4, atol=1e-5)


def test_its_shape_and_its_sites(model: LoadedModel) -> None:
    assert model.causal
    assert (model.d_model, model.n_layers, model.n_ctx) == (D, LAYERS, CONTEXT)
    head = D // HEADS
    widths = model.site_widths(["blocks.1.hook_resid_post", "blocks.1.attn.hook_v"])
    assert widths == {"blocks.1.hook_resid_post": D, "blocks.1.attn.hook_v": KV_HEADS * head}


def test_its_tokenizer(place: Path) -> None:
    found = Tokenizer(place / "checkpoint")
    assert [found.vocabulary[i] for i in found.prefix] == ["<|im_start|>"]
    assert set(SPECIAL) == {found.vocabulary[i] for i in np.flatnonzero(found.is_special)}
    (encoded,) = found.encode(["day Monday  in the"])
    assert [found.vocabulary[i] for i in encoded.ids] == ["day", " Monday", " ", " ", "in", " the"]


@pytest.mark.parametrize(
    ("cutter", "pieces"),
    [
        ("smollm", ["in", " ", "1", "9", "1", "9"]),  # digit by digit
        ("gpt-2", ["in", " ", "19", "19"]),  # " 1919" before pairs are merged
        ("llama-bpe", ["in", " ", "19", "1", "9"]),  # by three digits
        ("qwen2", ["in", " ", "1", "9", "1", "9"]),
    ],
)
def test_text_is_cut_as_the_file_says(cutter: str, pieces: list[str], tmp_path: Path) -> None:
    write_gguf(tmp_path / "tiny.gguf", cutter=cutter)
    made(tmp_path / "tiny.gguf", tmp_path / "out")
    found = Tokenizer(tmp_path / "out")
    (encoded,) = found.encode(["in 1919"])
    assert [found.vocabulary[i] for i in encoded.ids] == pieces


def test_an_unknown_way_to_cut_is_said(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    write_gguf(tmp_path / "tiny.gguf", cutter="zigzag")
    made(tmp_path / "tiny.gguf", tmp_path / "out")
    assert "cuts text as 'zigzag', which is not known here" in capsys.readouterr().err


# ---------------------------------------------------------------- what can be wrong


def one_line(path: Path, says: str) -> None:
    with pytest.raises(UserError) as error:
        look(path)
    assert says in str(error.value) and str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_every_truncated_file_is_damaged(place: Path, tmp_path: Path) -> None:
    whole, cut = (place / "tiny.gguf").read_bytes(), tmp_path / "cut.gguf"
    for share in (0.0, 0.001, 0.01, 0.03, 0.1, 0.5, 0.9, 0.999):
        cut.write_bytes(whole[: int(share * len(whole))])
        one_line(cut, "damaged one")


def test_other_files_are_none(tmp_path: Path) -> None:
    for number, content in enumerate(
        (b"PK\x03\x04" * 100, b"\x00" * 4096, b"GGUF" + b"\xff" * 500)
    ):
        path = tmp_path / f"{number}.gguf"
        path.write_bytes(content)
        one_line(path, "not a GGUF file")
    one_line(tmp_path / "none.gguf", "no such file")


def test_an_unknown_architecture_is_named(tmp_path: Path) -> None:
    write_gguf(tmp_path / "a.gguf", architecture="warbler")
    one_line(tmp_path / "a.gguf", "architecture 'warbler' cannot be made into a checkpoint")


def test_an_unknown_quantisation_is_named(place: Path, tmp_path: Path) -> None:
    """A number that no release knows, and one that is known by name only."""
    import gguf

    content = (place / "tiny.gguf").read_bytes()
    name = b"blk.0.attn_q.weight"
    at = content.index(name) + len(name) + 4 + 2 * 8  # after the number of dimensions, and two
    known_by_name = gguf.GGMLQuantizationType.Q8_1
    for number, says in (
        (999, "quantisation that the installed gguf does not know"),
        (known_by_name.value, "quantised as Q8_1"),
    ):
        path = tmp_path / f"{number}.gguf"
        path.write_bytes(content[:at] + number.to_bytes(4, "little") + content[at + 4 :])
        one_line(path, says)


def test_a_part_of_a_file_and_one_without_tokens_are_refused(tmp_path: Path) -> None:
    write_gguf(tmp_path / "part.gguf", parts=2)
    one_line(tmp_path / "part.gguf", "one of several parts")
    write_gguf(tmp_path / "bare.gguf", tokenizer=False)
    one_line(tmp_path / "bare.gguf", "no tokenizer in it")


def test_a_missing_tensor_is_no_random_one(tmp_path: Path) -> None:
    write_gguf(tmp_path / "a.gguf", leave_out="model.layers.1.mlp.up_proj.weight")
    with pytest.raises(
        UserError, match=r"no tensors for model\.layers\.1\.mlp\.up_proj\.weight \(1"
    ):
        made(tmp_path / "a.gguf", tmp_path / "out")


def test_numbers_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    broken = llama()
    broken.weights["model.norm.weight"][3] = np.inf
    write_gguf(tmp_path / "a.gguf", broken)
    with pytest.raises(UserError, match=r"model\.norm\.weight has numbers that are not finite"):
        made(tmp_path / "a.gguf", tmp_path / "out")


def test_without_its_package_the_remedy_is_named(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(place / "tiny.gguf", tmp_path / "another.gguf")  # that nobody looked at
    monkeypatch.setitem(sys.modules, "gguf", None)
    one_line(tmp_path / "another.gguf", "pip install gguf")


def test_the_digest_is_that_of_the_bytes(place: Path, tmp_path: Path) -> None:
    copy = tmp_path / "other-name.gguf"
    copy.write_bytes((place / "tiny.gguf").read_bytes())
    assert weights_digest(copy) == weights_digest(place / "tiny.gguf")
    copy.write_bytes(copy.read_bytes()[:-1] + b"?")
    assert weights_digest(copy) != weights_digest(place / "tiny.gguf")


def test_a_folder_that_has_one_says_which(place: Path) -> None:
    with pytest.raises(UserError, match=r"or the GGUF file itself, such as .*tiny\.gguf"):
        weights_digest(place)

"""SAE directories, codes, and the stages train and encode on a small artifact of activations."""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from interpsweep.config.inference import EncodeSettings
from interpsweep.config.saes import TrainSettings
from interpsweep.context import Context
from interpsweep.errors import UserError
from interpsweep.saes import codes as codes_module
from interpsweep.saes import encode as encode_stage
from interpsweep.saes import train as train_stage
from interpsweep.saes.artifact import WEIGHTS, Dictionary, write_dictionary
from interpsweep.saes.codes import Codes
from interpsweep.saes.load import load
from interpsweep.tables import read_parquet
from saes_world import D_IN, LENGTH, Made, make_world

D_SAE = 20


def tensors(architecture: str, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    found = {
        "W_enc": rng.standard_normal((D_IN, D_SAE)),
        "W_dec": rng.standard_normal((D_SAE, D_IN)),
        "b_dec": rng.standard_normal(D_IN),
    }
    extra = {
        "standard": ["b_enc"],
        "topk": ["b_enc"],
        "jumprelu": ["b_enc", "threshold"],
        "gated": ["b_gate", "b_mag", "r_mag"],
    }[architecture]
    found |= {name: 0.3 * rng.standard_normal(D_SAE) for name in extra}
    return {name: array.astype(np.float32) for name, array in found.items()}


def expected_acts(architecture: str, t: dict[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    """Encoding as the format's definition says, in plain numpy."""
    centred = x - t["b_dec"]
    if architecture == "gated":
        projected = centred @ t["W_enc"]
        magnitude = np.maximum(projected * np.exp(t["r_mag"]) + t["b_mag"], 0)
        return magnitude * (projected + t["b_gate"] > 0)
    pre = centred @ t["W_enc"] + t["b_enc"]
    if architecture == "standard":
        return np.maximum(pre, 0)
    if architecture == "jumprelu":
        return pre * (pre > np.maximum(t["threshold"], 0))
    norms = np.linalg.norm(t["W_dec"], axis=1)
    scaled = pre * norms
    kth = np.sort(scaled, axis=1)[:, -3][:, None]
    return np.maximum(scaled, 0) * (scaled >= kth) / norms


@pytest.mark.parametrize("architecture", ["standard", "topk", "jumprelu", "gated"])
def test_a_directory_is_read_back_and_encodes_as_defined(tmp_path, architecture):
    t = tensors(architecture)
    k = 3 if architecture == "topk" else None
    write_dictionary(tmp_path, architecture, t, k=k, firing_rate=np.full(D_SAE, 0.1))
    dictionary = Dictionary.open(tmp_path)
    assert dictionary.k == k and not dictionary.unit_decoder
    assert np.array_equal(dictionary.W_enc, t["W_enc"])
    np.testing.assert_allclose(dictionary.log_sparsity, -1, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(dictionary.directions, axis=1), 1, rtol=1e-5)
    x = np.random.default_rng(1).standard_normal((50, D_IN)).astype(np.float32)
    sae = load(tmp_path)
    expected = expected_acts(architecture, t, x)
    acts = sae.encode(torch.from_numpy(x))
    np.testing.assert_allclose(acts.numpy(), expected, rtol=1e-4, atol=1e-5)
    folded = sae.encode_sparse(torch.from_numpy(x), folded=True).dense(D_SAE)
    np.testing.assert_allclose(folded, expected * dictionary.decoder_norms, rtol=1e-4, atol=1e-5)
    hat = expected @ t["W_dec"] + t["b_dec"]
    np.testing.assert_allclose(sae.decode(acts), hat, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(sae.reconstruct(torch.from_numpy(x)), hat, rtol=1e-3, atol=1e-4)


def test_half_precision_weights_are_read(tmp_path):
    write_dictionary(tmp_path, "standard", tensors("standard"))
    whole = Dictionary.open(tmp_path).W_enc
    from safetensors.torch import load_file
    from safetensors.torch import save_file as save_torch

    held = load_file(tmp_path / WEIGHTS)
    save_torch({k: v.bfloat16() for k, v in held.items()}, tmp_path / WEIGHTS)
    np.testing.assert_allclose(Dictionary.open(tmp_path).W_enc, whole, rtol=1e-2)


def damage(folder, name, change):
    from safetensors.numpy import load_file

    held = load_file(folder / WEIGHTS)
    change(held)
    save_file(held, folder / WEIGHTS)
    return name


@pytest.mark.parametrize(
    "change,words",
    [
        (lambda t: t.update(W_dec=np.full_like(t["W_dec"], np.nan)), ["W_dec", "not finite"]),
        (lambda t: t.pop("b_enc"), ["b_enc"]),
        (lambda t: t.update(extra=np.zeros(3, np.float32)), ["extra", "unexpected"]),
        (lambda t: t.update(W_enc=t["W_enc"][:, :-1].copy()), ["W_enc", "shape"]),
        (lambda t: t.update(b_dec=t["b_dec"].astype(np.int64)), ["b_dec", "dtype"]),
    ],
)
def test_damaged_weights_are_named(tmp_path, change, words):
    write_dictionary(tmp_path, "standard", tensors("standard"))
    damage(tmp_path, "", change)
    with pytest.raises(UserError) as error:
        Dictionary.open(tmp_path)
    for word in (*words, str(tmp_path / WEIGHTS)):
        assert word in str(error.value)


def test_other_damage_is_named(tmp_path):
    write_dictionary(tmp_path, "standard", tensors("standard"))
    content = (tmp_path / WEIGHTS).read_bytes()
    (tmp_path / WEIGHTS).write_bytes(content[:-50])
    with pytest.raises(UserError, match="cannot be read"):
        Dictionary.open(tmp_path)
    (tmp_path / WEIGHTS).unlink()
    with pytest.raises(UserError, match="missing"):
        Dictionary.open(tmp_path)
    cfg = json.loads((tmp_path / "cfg.json").read_text())
    (tmp_path / "cfg.json").write_text(json.dumps(cfg | {"architecture": "temporal"}))
    with pytest.raises(UserError, match="temporal"):
        Dictionary.open(tmp_path)


# ---------------------------------------------------------------------- stages


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def trained(world, tmp_path_factory):
    root = tmp_path_factory.mktemp("saes")
    items = []
    for architecture, sparsity in (("topk", 3), ("batchtopk", 3), ("relu", 0.3)):
        settings = TrainSettings(
            architecture=architecture, d_sae=D_SAE, sparsity=sparsity, tokens=64 * 150,
            batch_size=64, decoder_bias="geometric_median" if architecture == "relu" else "mean",
        )  # fmt: skip
        spec = {"settings": settings.identity()}
        items.append(
            Made(
                root / architecture,
                spec,
                {
                    "activations": world["activations"],
                    "masks": world["masks"],
                    "corpus": world["corpus"],
                },
            )
        )
    train_stage.run(items, Context())
    return {item.out.name: item for item in items}


def test_train_stage_writes_saes_that_reconstruct(world, trained):
    for item in trained.values():
        log = read_parquet(item.out / "training.parquet")
        assert log["step"].is_monotonic_increasing and log["step"].iloc[-1] == 150
        x = torch.from_numpy(world["x"][: 16 * 40])
        hat = load(item.out).reconstruct(x)
        fvu = float((x - hat).square().sum() / (x - x.mean(0)).square().sum())
        # the log speaks of scaled activations during training, the file of unscaled ones
        assert fvu == pytest.approx(log["fvu"].iloc[-1], rel=0.25)
        assert item.metrics["fvu"] == log["fvu"].iloc[-1]
        assert Dictionary.open(item.out).cfg["metadata"]["hook_name"] == "blocks.0.hook"
        assert Dictionary.open(item.out).unit_decoder


@pytest.mark.parametrize("architecture", ["topk", "batchtopk", "relu"])
def test_codes_are_the_dense_encoding(world, trained, tmp_path, architecture, monkeypatch):
    monkeypatch.setattr(codes_module, "BLOCK_ROWS", 64)
    monkeypatch.setattr(encode_stage, "BLOCK_ROWS", 64)
    inputs = {
        "sae": trained[architecture].out,
        **{r: world[r] for r in ("activations", "masks", "corpus")},
    }
    settings = EncodeSettings(top_contexts=4, window_before=2, window_after=1)
    spec = {"settings": settings.identity()}
    metrics = encode_stage.run(spec, inputs, tmp_path, Context(engine="threads", workers=2))
    codes = Codes.open(tmp_path)
    assert codes.rows == (640, 880) and (codes.n_rows, codes.d_sae) == (240, D_SAE)
    assert codes.layout == ("fixed" if architecture == "topk" else "csr")
    x = world["x"][640:880]
    dense = load(inputs["sae"]).encode_sparse(torch.from_numpy(x), folded=True).dense(D_SAE).numpy()
    np.testing.assert_allclose(codes.read(0, 240).toarray(), dense, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(codes.read(30, 99).toarray(), dense[30:99], rtol=1e-5, atol=1e-6)
    pieces = [codes.read(*piece).toarray() for piece in codes.chunks()]
    assert len(pieces) == 4
    np.testing.assert_array_equal(np.concatenate(pieces), codes.read(0, 240).toarray())
    assert not list(tmp_path.glob("blocks*"))

    np.testing.assert_array_equal(codes.count, (dense > 0).sum(0))
    np.testing.assert_allclose(codes.peaks, dense.max(0), rtol=1e-5)
    mean = np.where(codes.count > 0, dense.sum(0) / np.maximum(codes.count, 1), np.nan)
    np.testing.assert_allclose(codes.latents["mean"], mean, rtol=1e-5)
    read, again = np.zeros(D_SAE), codes.read(0, codes.n_rows).tocoo()  # not a rounded copy
    np.maximum.at(read, again.col, again.data)
    np.testing.assert_array_equal(codes.peaks, read)
    assert metrics["l0"] == pytest.approx((dense > 0).sum() / 240)
    check_contexts(world, codes, dense)


def check_contexts(world, codes, dense):
    """Top contexts against a direct search in the dense codes."""
    contexts, ids = codes.contexts, world["ids"]
    for feature in range(D_SAE):
        mine = contexts[contexts["feature"] == feature]
        per_context = dense[:, feature].reshape(15, 16).max(1)
        best = np.sort(per_context[per_context > 0])[::-1][:4]
        np.testing.assert_allclose(mine["activation"], best, rtol=1e-5)
        for row in mine.itertuples():
            flat = world["flat"][row.row]
            assert row.token == f" w{ids[flat]}"
            assert row.text[row.token_start :].startswith(row.token)
            assert (row.context, row.position) == (flat // LENGTH, flat % LENGTH)
            assert len(row.text.split()) == min(row.position - 1, 2) + 1 + (row.position < 16)


def test_encoding_resumes_and_does_not_depend_on_workers(world, trained, tmp_path, monkeypatch):
    monkeypatch.setattr(codes_module, "BLOCK_ROWS", 64)
    monkeypatch.setattr(encode_stage, "BLOCK_ROWS", 64)
    inputs = {
        "sae": trained["relu"].out,
        **{r: world[r] for r in ("activations", "masks", "corpus")},
    }
    settings = EncodeSettings(contexts=12, threshold=0.1)
    spec = {"settings": settings.identity()}
    contents = []
    for name in ("one", "two"):
        out = tmp_path / name
        out.mkdir()
        if name == "two":  # what a killed run leaves: one good block, one torn
            scratch = out / encode_stage.BLOCKS
            scratch.mkdir()
            work = encode_stage.Work(
                inputs["sae"], inputs["activations"], (), scratch, "cpu", 0.1, settings.top_contexts
            )
            for block in ((640, 704), (704, 768)):
                partial(encode_stage.encode_block, work)(block)
            (scratch / "704.safetensors").write_bytes(b"torn")
        encode_stage.run(spec, inputs, out, Context(engine="threads", workers=1 + (name == "two")))
        contents.append(
            {str(p.relative_to(out)): p.read_bytes() for p in out.rglob("*") if p.is_file()}
        )
    assert contents[0] == contents[1]
    assert Codes.open(tmp_path / "one").n_rows == 12 * 16
    assert Codes.open(tmp_path / "one").read(0, 192).data.min() > 0.1

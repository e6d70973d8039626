"""Transcoders: trained on two paired stores, written, read, encoded with and judged."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch

from interpsweep.activations.artifact import ROWS, Activations
from interpsweep.activations.reader import check_paired
from interpsweep.arrays import array_in
from interpsweep.config.inference import EncodeSettings, EvaluateSettings
from interpsweep.config.saes import ARCHITECTURES, TrainSettings
from interpsweep.context import Context
from interpsweep.errors import UserError
from interpsweep.models.forward import forward_logits, forward_sites, forward_with_replacement
from interpsweep.models.load import load_model
from interpsweep.saes import encode, evaluate
from interpsweep.saes import train as train_stage
from interpsweep.saes.artifact import Dictionary, write_dictionary
from interpsweep.saes.codes import Codes
from interpsweep.saes.load import load
from interpsweep.saes.splice import CleanLosses, Losses, batches
from interpsweep.tables import read_json, read_parquet
from saes_world import D_IN, D_OUT, Made, make_model, make_world

D_SAE = 24
NAMES = {
    "relu": "transcoder",
    "gated": "gated_transcoder",
    "topk": "topk_transcoder",
    **dict.fromkeys(("jumprelu", "batchtopk", "matryoshka"), "jumprelu_transcoder"),
}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("world"))


def item(root, world, architecture: str, output: str | None = "blocks.0.hook_out") -> Made:
    settings = TrainSettings(
        architecture=architecture, d_sae=D_SAE, tokens=64 * 600, batch_size=64, learning_rate=3e-3,
        sparsity=0.3 if architecture in ("relu", "gated") else 4, output_site=output,
    )  # fmt: skip
    inputs = {role: world[role] for role in ("activations", "masks", "corpus")}
    if output is not None:
        inputs |= {"targets": world["targets"], "masks": [world["activations"], world["targets"]]}
    name = f"{architecture}-{'sae' if output is None else 'transcoder'}"
    return Made(root / name, {"settings": settings.identity()}, inputs)


@pytest.fixture(scope="module")
def trained(world, tmp_path_factory):
    root = tmp_path_factory.mktemp("saes")
    items = {name: item(root, world, name) for name in ARCHITECTURES}
    train_stage.run([*items.values(), item(root, world, "topk", None)], Context())
    return items


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_transcoder_predicts_the_other_site(world, trained, architecture):
    made = trained[architecture]
    dictionary = Dictionary.open(made.out)
    assert (dictionary.d_in, dictionary.d_out, dictionary.d_sae) == (D_IN, D_OUT, D_SAE)
    assert dictionary.unit_decoder
    cfg = dictionary.cfg
    assert cfg["architecture"] == NAMES[architecture] and cfg["d_out"] == D_OUT
    assert cfg["apply_b_dec_to_input"] is False
    assert cfg["metadata"]["hook_name"] == "blocks.0.hook"
    assert cfg["metadata"]["hook_name_out"] == "blocks.0.hook_out"
    rows = slice(0, 16 * 40)
    x, y = (Activations.open(world[r]).read(0, 16 * 40) for r in ("activations", "targets"))
    assert np.array_equal(x, world["x"][rows])
    hat = load(made.out).reconstruct(torch.from_numpy(x)).numpy()
    fvu = ((y - hat) ** 2).sum() / ((y - y.mean(0)) ** 2).sum()
    # the log speaks of scaled activations during training, the file of unscaled ones
    assert fvu == pytest.approx(
        read_parquet(made.out / "training.parquet")["fvu"].iloc[-1], rel=0.3
    )
    assert fvu < 0.25


def test_company_of_saes_changes_nothing(world, trained, tmp_path):
    alone = item(tmp_path, world, "topk")
    train_stage.run([alone], Context())
    for file in alone.out.iterdir():
        assert file.read_bytes() == (trained["topk"].out / file.name).read_bytes()


def test_codes_come_from_what_is_read(world, trained, tmp_path):
    inputs = {role: world[role] for role in ("activations", "masks", "corpus")}
    inputs["sae"] = trained["topk"].out
    encode.run({"settings": EncodeSettings().identity()}, inputs, tmp_path, Context())
    codes, sae = Codes.open(tmp_path), load(trained["topk"].out)
    x = torch.from_numpy(world["x"][640:880])
    expected = sae.encode_sparse(x, folded=True).dense(D_SAE).numpy()
    np.testing.assert_allclose(codes.read(0, 240).toarray(), expected, rtol=1e-5, atol=1e-6)


# ---------------------------------------------------------------------- pairs of stores


def broken(world, root, change) -> Activations:
    shutil.copytree(world["targets"], root)
    change(root)
    return Activations(root)


def _swap_tokens(root):
    import zarr

    tokens = array_in(zarr.open_group(root / ROWS, mode="r+", zarr_format=3), "token")
    tokens[700], tokens[701] = int(tokens[701]), int(tokens[700])


def _other_splits(root):
    text = (root / "splits.json").read_text()
    (root / "splits.json").write_text(text.replace("640", "624"))


@pytest.mark.parametrize(
    "change,words",
    [(_swap_tokens, ["row 700", "another token"]), (_other_splits, ["not of the same tokens"])],
)
def test_stores_that_do_not_pair_are_refused(world, tmp_path, change, words):
    first = Activations.open(world["activations"])
    check_paired(first, Activations.open(world["targets"]))
    second = broken(world, tmp_path / "broken", change)
    with pytest.raises(UserError) as error:
        check_paired(first, second)
    for word in (*words, str(first.path), str(second.path)):
        assert word in str(error.value)


def test_other_chunks_are_refused(world, monkeypatch):
    first, second = Activations.open(world["activations"]), Activations.open(world["targets"])
    second.chunk_rows = 50
    with pytest.raises(UserError, match="chunk_rows"):
        check_paired(first, second)


# ---------------------------------------------------------------------- evaluation

SITES = {"site": "blocks.0.hook_resid_post", "output_site": "blocks.1.hook_resid_post"}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("model"))


def test_a_transcoder_stands_in_for_the_site_it_predicts(tmp_path, world, model):
    """One that copies its input makes the model skip a block: the loss of that is known."""
    both = np.concatenate([np.eye(D_IN), -np.eye(D_IN)])
    zeros = {"b_enc": np.zeros(2 * D_IN), "b_dec": np.zeros(D_IN)}
    copy = {"W_enc": both.T, "W_dec": both, **zeros}
    write_dictionary(tmp_path / "copy", "standard", copy, transcoder=True)
    settings = EvaluateSettings(contexts=5, batch_tokens=40)
    spec = {
        "settings": {**settings.identity(), **SITES, "model": {"source": "trained"}},
        "inputs": {"sae": "copy"},
    }
    inputs = {"sae": tmp_path / "copy", "model": model, "corpus": world["corpus"]}
    inputs |= {"activations": world["activations"], "targets": world["activations"]}
    inputs["masks"] = 2 * world["masks"]
    made = Made(tmp_path / "item", spec, inputs)
    evaluate.run([made], Context())
    scores = read_json(made.out / "metrics.json")
    assert made.metrics["ce_sae.v2"] == pytest.approx(skipping(world, model, settings), rel=1e-5)
    assert scores["explained_variance.v2"] == pytest.approx(1)
    assert scores["encoder_decoder_cosine.v2"] is None
    assert scores["ce_sae.v2"] != pytest.approx(scores["ce_clean.v2"], rel=1e-3)


def skipping(world, folder, settings) -> float:
    """Mean loss when what enters block 1 also leaves it, marks aside."""
    from interpsweep.corpora.artifact import Corpus

    model = load_model({"source": "trained"}, folder, Context(device="cpu"))
    total = count = 0.0
    none = np.zeros(0, np.int64)
    for tokens, special, _ in batches(Corpus.open(world["corpus"]), settings, none):
        entering = forward_sites(model, tokens, [SITES["site"]])[SITES["site"]]
        counted = torch.zeros_like(special)
        counted[:, :-1] = ~special[:, :-1] & ~special[:, 1:]

        def skip(here, entering=entering, special=special):
            return torch.where(special[..., None], here, entering)

        logits = forward_with_replacement(model, tokens, SITES["output_site"], skip)
        clean = CleanLosses(forward_logits(model, tokens), tokens.roll(-1, 1), counted)
        losses = Losses(logits, tokens.roll(-1, 1), counted, clean)
        total, count = total + losses.ce, count + losses.tokens
    return total / count


def test_a_transcoder_is_judged_by_what_it_predicts(world, trained, tmp_path):
    settings = EvaluateSettings(contexts=0)
    spec = {
        "settings": {**settings.identity(), **SITES, "model": {"source": "trained"}},
        "inputs": {"sae": "s"},
    }
    inputs = {role: world[role] for role in ("activations", "masks", "targets", "corpus")}
    made = Made(tmp_path / "item", spec, {**inputs, "sae": trained["topk"].out})
    evaluate.run([made], Context())
    y = Activations.open(world["targets"]).read(55 * 16, 60 * 16)
    hat = load(trained["topk"].out).reconstruct(torch.from_numpy(world["x"][55 * 16 :])).numpy()
    expected = 1 - ((y - hat) ** 2).sum() / ((y - y.mean(0)) ** 2).sum()
    assert made.metrics["explained_variance.v2"] == pytest.approx(expected, rel=1e-5)
    assert made.metrics["encoder_decoder_cosine.v2"] is None

"""Which format a folder is, what its word for an architecture means, and what it computes then."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_torch

import foreign_saes as foreign
from foreign_saes import D_SAE, SITE, K, agrees, bring, x_of
from interpsweep.config.imports import ImportedSAE
from interpsweep.context import Context
from interpsweep.errors import UserError
from interpsweep.lock import openers
from interpsweep.saes import imports
from interpsweep.saes.formats import about, files
from interpsweep.saes.load import load
from interpsweep.saes.metrics import FiringCounts
from saes_world import D_IN, make_world


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("world"))


def look(folder: Path, wanted: str = "auto") -> about.About:
    return about.look(files.local_files(folder), wanted, str(folder))


def jumprelu() -> dict[str, np.ndarray]:
    return {**foreign.base(D_IN), "threshold": np.abs(foreign.random(D_SAE, seed=5))}


# ---------------------------------------------------------------------------- what a folder is


def test_a_saelens_configuration_of_before_version_6_is_one(world, tmp_path) -> None:
    t = foreign.base(D_IN)
    foreign.write_before_version_6(tmp_path / "a", t)
    known = look(tmp_path / "a")
    assert known["format"] == "saelens" and known["hook"] == SITE
    assert known["architecture"] == "relu" and known["d_sae"] == D_SAE
    x = x_of(world)
    acts = np.maximum((x - t["b_dec"]) @ t["W_enc"] + t["b_enc"], 0)
    agrees(bring(world, tmp_path / "a", tmp_path / "o"), x, acts, acts @ t["W_dec"] + t["b_dec"])


def test_weights_decide_whatever_the_configuration_has(tmp_path) -> None:
    t = foreign.base(D_IN)
    foreign.write_before_version_6(tmp_path / "a", t, num_latents=D_SAE, normalize_decoder=True)
    assert look(tmp_path / "a")["format"] == "saelens"
    foreign.write_sparsify(tmp_path / "b", t, hook_name=SITE, architecture="topk")
    assert look(tmp_path / "b")["format"] == "sparsify"


def test_what_the_user_says_wins(tmp_path) -> None:
    t = foreign.base(D_IN)
    foreign.write_before_version_6(tmp_path / "a", t)
    foreign.write_sparsify(tmp_path / "b", t)
    (tmp_path / "b" / "sae.safetensors").rename(tmp_path / "a" / "sae.safetensors")  # of both
    assert look(tmp_path / "a", "saelens")["format"] == "saelens"
    assert look(tmp_path / "a", "sparsify")["format"] == "sparsify"
    (tmp_path / "a" / "sae.safetensors").unlink()
    with pytest.raises(UserError, match=r"of format saelens, `format` says sparsify"):
        look(tmp_path / "a", "sparsify")


COMMIT = "c" * 40


@pytest.mark.parametrize(
    ("config", "format_"),
    [
        (foreign.BEFORE_VERSION_6, "saelens"),
        ({"d_in": 8, "expansion_factor": 32, "k": 32, "normalize_decoder": True}, "sparsify"),
        ({"d_in": 8, "num_latents": 64, "k": 32}, "sparsify"),
        ({"architecture": "topk", "d_in": 8, "d_sae": 64, "k": 4}, "saelens"),
    ],
)
def test_configurations_decide_where_weights_cannot_be_seen(
    tmp_path, monkeypatch, config: dict, format_: str
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    place = tmp_path / "cache" / "models--a--b" / "snapshots" / COMMIT / "f"
    place.mkdir(parents=True)
    (place / "cfg.json").write_text(json.dumps(config))
    found = about.look(files.hub_files("a/b", COMMIT, "f", network=True))
    assert found["format"] == format_
    # the user's word is believed there: nobody can see that it is wrong
    said = about.look(files.hub_files("a/b", COMMIT, "f", network=True), "saelens")
    assert said["format"] == "saelens"


def make_file(name: str, content: bytes = b"x"):
    def write(folder: Path) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)

    return write


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (make_file("model.safetensors"), r"language model, which belongs under models\[\]\.path"),
        (make_file("adapter_config.json"), r"an adapter \(PEFT\)"),
        (make_file("sae.pt"), "a pickle of saev or of an early SAELens"),
        (make_file("ae.pt"), "the config.json that says its class is missing"),
        (make_file("cfg.json", b"{}"), "the weights beside it are missing"),
        (make_file("hyperparams.json", b"{}"), "that of Llama Scope, and its weights are missing"),
        (make_file("sae_weights.safetensors"), "whose cfg.json is missing, or a newer Llama Scope"),
        (make_file("lm_config.json"), "an SAE of Llamascopium"),
        (make_file("W_enc_3.safetensors"), "cross-layer transcoder"),
        (make_file("autoencoder.pth"), r"autoencoder\.pth is a pickle of a package that is not"),
        (make_file("layers.5/cfg.json"), r"it holds several of them, name one: layers\.5"),
    ],
)
def test_folders_of_other_formats_are_named(tmp_path, write, message: str) -> None:
    write(tmp_path)
    with pytest.raises(UserError, match=message):  # as `interpsweep lock` looks at it
        files.content_digest(tmp_path)
        look(tmp_path)


# ---------------------------------------------------------------------------- what it is called


@pytest.mark.parametrize(
    "cfg",
    [
        {"architecture": "standard", "activation_fn_str": "topk", "activation_fn_kwargs": {"k": K}},
        {"activation_fn": "topk", "activation_fn_kwargs": {"k": K}},
        {"architecture": "standard", "activation_fn_str": "topk", "activation_fn_kwargs": {"k": K},
         "metadata": {"training_architecture": "standard"}},
    ],
)  # fmt: skip
def test_topk_as_an_activation_function_is_topk_by_name_too(world, tmp_path, cfg: dict) -> None:
    t = foreign.base(D_IN)
    foreign.write_before_version_6(tmp_path / "a", t, **cfg)
    known = look(tmp_path / "a")
    assert known["architecture"] == "topk" and known["sparsity"] == K
    sae = bring(world, tmp_path / "a", tmp_path / "o", sparsity=None)
    assert sae.architecture == "topk"
    x = x_of(world)
    acts = foreign.top_k((x - t["b_dec"]) @ t["W_enc"] + t["b_enc"])
    agrees(sae, x, acts, acts @ t["W_dec"] + t["b_dec"])


@pytest.mark.parametrize("kind", ["BatchTopKSAE", "MatryoshkaBatchTopKSAE", "saelens"])
def test_a_batch_topk_sae_without_a_threshold_is_no_silent_relu(world, tmp_path, kind) -> None:
    t = foreign.base(D_IN)
    if kind == "saelens":  # its buffer begins at 0, the others' at -1
        stored = {**t, "topk_threshold": np.array(0.0, np.float64)}
        foreign.write_saelens(tmp_path / "a", "batchtopk", stored, k=float(K))
    else:
        both = {"k": np.int32(K), "threshold": np.float32(-1)}
        linear = foreign.linear(t)
        shape = t if kind.startswith("Matryoshka") else linear
        sizes = {"group_sizes": np.array([8, 12])} if shape is t else {}
        state = {**shape, "b_dec": t["b_dec"], **both, **sizes}
        foreign.write_dictionary_learning(tmp_path / "a", kind, state, k=K)
    with pytest.raises(UserError, match=r"threshold is (-1|0): .*say `architecture: relu`"):
        bring(world, tmp_path / "a", tmp_path / "o")
    x = x_of(world)
    acts = np.maximum((x - t["b_dec"]) @ t["W_enc"] + t["b_enc"], 0)
    sae = bring(world, tmp_path / "a", tmp_path / "p", architecture="relu")
    agrees(sae, x, acts, acts @ t["W_dec"] + t["b_dec"])


# ---------------------------------------------------------------------------- what it computes


@pytest.mark.parametrize(
    ("folder", "hook"),
    [
        ("resid_post/layer_12_width_16k_l0_small", "blocks.12.hook_resid_post"),
        ("attn_out_all/layer_3_width_65k_l0_big", "blocks.3.attn.hook_z"),
        ("mlp_out/layer_7_width_1m_l0_medium", "blocks.7.hook_mlp_out"),
    ],
)
def test_gemma_scope_2_without_a_configuration(tmp_path, folder: str, hook: str) -> None:
    foreign.write_gemma_scope_2(tmp_path / folder, jumprelu())
    (tmp_path / folder / "config.json").unlink()
    known = look(tmp_path / folder)
    assert known["format"] == "gemma_scope_2" and known["hook"] == hook
    assert known["d_sae"] == {"16k": 1 << 14, "65k": 1 << 16, "1m": 1 << 20}[folder.split("_")[-3]]
    assert "sparsity" not in known  # small, medium or big is no number: it has to be given


def test_a_transcoder_of_gemma_scope_2_without_a_configuration(world, tmp_path) -> None:
    folder = tmp_path / "transcoder_all" / "layer_0_width_16k_l0_small"
    foreign.write_gemma_scope_2(folder, jumprelu())
    (folder / "config.json").unlink()
    with pytest.raises(UserError, match="only autoencoders can be imported"):
        bring(world, folder, tmp_path / "o", d_sae=D_SAE)


def test_gemma_scope_2(world, tmp_path) -> None:
    t = jumprelu()
    folder = tmp_path / "resid_post" / "layer_0_width_16k_l0_small"
    foreign.write_gemma_scope_2(folder, t)
    assert look(folder) == {
        "format": "gemma_scope_2", "architecture": "jumprelu", "d_sae": D_SAE, "sparsity": 7.0,
        "layer": 0, "hook": "blocks.0.hook_resid_post",
    }  # fmt: skip
    x = x_of(world)
    pre = x @ t["W_enc"] + t["b_enc"]
    acts = pre * (pre > t["threshold"])
    sae = bring(world, folder, tmp_path / "o", check_hook=False)
    agrees(sae, x, acts, acts @ t["W_dec"] + t["b_dec"])
    cfg = json.loads((tmp_path / "o" / "cfg.json").read_text())
    assert cfg["metadata"]["model_name"] == "google/gemma-3-1b-pt"


@pytest.mark.parametrize(
    ("place", "hook"),
    [
        ("model.layers.7.output", "blocks.7.hook_resid_post"),
        ("model.layers.11.self_attn.o_proj.input", "blocks.11.attn.hook_z"),
        ("model.layers.3.post_feedforward_layernorm.output", "blocks.3.hook_mlp_out"),
        ("model.layers.5.something.new", None),
        ("elsewhere", None),
    ],
)
def test_places_of_gemma_scope_2_are_hooks(tmp_path, place: str, hook: str | None) -> None:
    foreign.write_gemma_scope_2(
        tmp_path, jumprelu(), hf_hook_point_in=place, hf_hook_point_out=place
    )
    assert look(tmp_path).get("hook") == hook
    assert look(tmp_path).get("layer") == (int(place.split(".")[2]) if "layers" in place else None)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"type": "transcoder", "hf_hook_point_out": "model.layers.0.mlp"}, "a transcoder from"),
        ({"affine_connection": True}, "only autoencoders can be imported"),
        ({"architecture": "topk"}, "architecture 'topk' is not jump_relu"),
    ],
)
def test_what_else_gemma_scope_2_has_is_refused(world, tmp_path, config, message: str) -> None:
    foreign.write_gemma_scope_2(tmp_path / "a", jumprelu(), **config)
    with pytest.raises(UserError, match=message):
        bring(world, tmp_path / "a", tmp_path / "o", check_hook=False, architecture="jumprelu")


@pytest.mark.parametrize("by_norm", [True, False])
@pytest.mark.parametrize("function", ["jumprelu", "topk"])
def test_llama_scope(world, tmp_path, function: str, by_norm: bool) -> None:
    t, x = foreign.base(D_IN), x_of(world)
    threshold = 0.5 if function == "jumprelu" else 0.0
    foreign.write_llama_scope(
        tmp_path / "a", t, act_fn=function, jump_relu_threshold=threshold,
        sparsity_include_decoder_norm=by_norm,
    )  # fmt: skip
    known = look(tmp_path / "a")
    assert known == {"format": "llama_scope", "architecture": function, "d_in": D_IN,
                     "d_sae": D_SAE, "sparsity": K, "hook": SITE}  # fmt: skip
    # as the package that wrote it computes for inference: weights for activations as they are,
    # then decoder rows of norm 1, then the threshold
    scale = np.sqrt(D_IN) / foreign.MEAN_NORM
    norms = np.linalg.norm(t["W_dec"], axis=1) if by_norm else np.ones(D_SAE, np.float32)
    pre = (x @ t["W_enc"] + t["b_enc"] / scale) * norms
    acts = foreign.top_k(pre) if function == "topk" else pre * (pre > threshold)
    out = acts @ (t["W_dec"] / norms[:, None]) + t["b_dec"] / scale
    sae = bring(world, tmp_path / "a", tmp_path / "o", sparsity=None)
    units = 1 if by_norm else scale  # activations are in units of the decoder that is written
    agrees(sae, x, acts * units, out)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"hook_point_out": "blocks.0.hook_mlp_out"}, "only plain autoencoders"),
        ({"use_glu_encoder": True}, "only plain autoencoders"),
        ({"act_fn": "gelu"}, "act_fn 'gelu' cannot be imported"),
        ({"norm_activation": "batch-wise"}, "'batch-wise'.* cannot be imported"),
        ({"dataset_average_activation_norm": {"in": 2, "out": 3}}, "one norm in and out"),
        ({"dataset_average_activation_norm": None}, "one norm in and out"),
    ],
)
def test_what_else_llama_scope_has_is_refused(world, tmp_path, params, message: str) -> None:
    foreign.write_llama_scope(tmp_path / "a", foreign.base(D_IN), **params)
    with pytest.raises(UserError, match=message):
        bring(world, tmp_path / "a", tmp_path / "o", architecture="jumprelu")


@pytest.mark.parametrize("how", ["inference", "token-wise"])
def test_llama_scope_without_a_norm_of_the_data(world, tmp_path, how: str) -> None:
    t, x = foreign.base(D_IN), x_of(world)
    foreign.write_llama_scope(
        tmp_path / "a", t, norm_activation=how, sparsity_include_decoder_norm=False,
        apply_decoder_bias_to_pre_encoder=True,
    )  # fmt: skip
    scale = np.sqrt(D_IN) / np.linalg.norm(x, axis=1, keepdims=True) if how == "token-wise" else 1
    pre = (x * scale - t["b_dec"]) @ t["W_enc"] + t["b_enc"]
    acts = pre * (pre > 0.5)
    sae = bring(world, tmp_path / "a", tmp_path / "o")
    agrees(sae, x, acts, (acts @ t["W_dec"] + t["b_dec"]) / scale)


def test_bfloat16_weights_are_read_exactly_and_negative_thresholds_are_0(world, tmp_path) -> None:
    t = {name: torch.from_numpy(array).bfloat16() for name, array in jumprelu().items()}
    t["threshold"][:4] *= -1  # a parameter that training may push below
    foreign.write_saelens(tmp_path / "a", "jumprelu", foreign.base(D_IN), dtype="bfloat16")
    save_torch(t, tmp_path / "a" / "sae_weights.safetensors")
    sae = bring(world, tmp_path / "a", tmp_path / "o")
    assert sae.threshold.dtype == torch.float32
    torch.testing.assert_close(sae.threshold, t["threshold"].float(), rtol=0, atol=0)
    x = x_of(world)
    w = {name: tensor.float().numpy() for name, tensor in t.items()}
    pre = (x - w["b_dec"]) @ w["W_enc"] + w["b_enc"]
    acts = pre * (pre > np.maximum(w["threshold"], 0))
    agrees(sae, x, acts, acts @ w["W_dec"] + w["b_dec"])


def test_every_format_is_in_the_documentation() -> None:
    page = (Path(__file__).parents[2] / "docs" / "imports.md").read_text()
    table = page.split("## Formats")[1].split("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("| `")][1:]  # below the head
    assert {row.split("`")[1] for row in rows} == set(imports.READERS) == set(files.WEIGHTS)
    for format_, weights in files.WEIGHTS.items():
        (row,) = [row for row in rows if row.startswith(f"| `{format_}`")]
        assert f"`{weights}`" in row and files.CONFIGS.get(format_, weights) in row


def test_the_page_on_compatibility_names_tests_that_are() -> None:
    root = Path(__file__).parents[2]
    page = (root / "docs" / "compatibility.md").read_text()
    named = set(re.findall(r"`(test_\w+)`", page))
    there = {name for file in (root / "tests").rglob("test_*.py")
             for name in re.findall(r"def (test_\w+)", file.read_text())}  # fmt: skip
    assert len(named) > 30 and named <= there


def test_a_stated_factor_is_folded(world, tmp_path) -> None:
    t, x = foreign.base(D_IN), x_of(world)
    cfg = {"normalize_activations": "constant_scalar_rescale"}
    foreign.write_saelens(tmp_path / "b", "standard", t, **cfg)
    with pytest.raises(UserError, match="no activation_normalization_factor states the factor"):
        bring(world, tmp_path / "b", tmp_path / "o")
    foreign.write_saelens(
        tmp_path / "a", "standard", t, **cfg, activation_normalization_factor=0.25
    )
    acts = np.maximum((0.25 * x - t["b_dec"]) @ t["W_enc"] + t["b_enc"], 0)
    sae = bring(world, tmp_path / "a", tmp_path / "o")
    agrees(sae, x, acts, (acts @ t["W_dec"] + t["b_dec"]) / 0.25)


@pytest.mark.parametrize("kind", ["standard", "topk"])
def test_latents_that_decode_nothing_are_counted_and_fire(world, tmp_path, kind: str) -> None:
    t, x = foreign.base(D_IN), x_of(world)
    t["W_dec"][[2, 9]] = 0
    k = {"k": D_SAE - 1} if kind == "topk" else {}  # so many that not all can be above 0
    foreign.write_saelens(tmp_path / "a", kind, t, **k, rescale_acts_by_decoder_norm=False)
    sae = ImportedSAE(path=str(tmp_path / "a"), site=SITE, sparsity=5)
    content = files.content_digest(tmp_path / "a")
    settings = about.settings(sae, content, look(tmp_path / "a"))
    ctx = Context(device="cpu", outside=openers({content: f"sae:{tmp_path / 'a'}"}))
    inputs = {r: world[r] for r in ("activations", "masks", "corpus")}
    said = imports.run({"settings": settings.identity()}, inputs, tmp_path / "o", ctx)
    assert said["zero_decoder_rows"] == 2
    made, t_x = load(tmp_path / "o"), torch.from_numpy(x)
    firing = FiringCounts(D_SAE, "cpu")
    codes = made.encode_sparse(t_x)
    firing.update(codes.with_values(codes.values * made.units[codes.columns]))
    pre = (x - t["b_dec"]) @ t["W_enc"] + t["b_enc"]
    assert (firing.counts[[2, 9]] > 0).all()
    if kind == "standard":
        np.testing.assert_array_equal(firing.counts, (pre > 0).sum(0))
    assert torch.isfinite(made.reconstruct(t_x)).all()


def test_a_topk_sae_that_folds_norms_stays_finite_with_a_zero_row(world, tmp_path) -> None:
    t = foreign.base(D_IN)
    t["W_dec"][2] = 0
    foreign.write_saelens(tmp_path / "a", "topk", t, k=D_SAE, rescale_acts_by_decoder_norm=True)
    save_file(t, tmp_path / "a" / "sae_weights.safetensors")
    sae = load(tmp_path / "a")  # as SAELens itself wrote it: norms are not folded yet
    x = torch.from_numpy(x_of(world))
    assert torch.isfinite(sae.encode(x)).all() and torch.isfinite(sae.reconstruct(x)).all()
    assert (sae.encode(x)[:, 2] == 0).all()

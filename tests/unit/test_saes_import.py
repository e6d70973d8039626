"""Imports of SAEs: every format gives what its own definition says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

import foreign_saes as foreign
from foreign_saes import D_SAE, SITE, K, agrees, bring, x_of
from interpsweep.config.imports import ImportedSAE, ImportEntry
from interpsweep.context import Context
from interpsweep.errors import UserError
from interpsweep.saes import imports
from interpsweep.saes.formats import about, files
from interpsweep.saes.load import load
from saes_world import D_IN, make_world


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("world"))


# ---------------------------------------------------------------------------- formats


@pytest.mark.parametrize("subtract", [True, False])
def test_saelens_jumprelu(world, tmp_path, subtract: bool) -> None:
    t = {**foreign.base(D_IN), "threshold": np.abs(foreign.random(D_SAE, seed=5))}
    foreign.write_saelens(tmp_path / "a", "jumprelu", t, apply_b_dec_to_input=subtract)
    x = x_of(world)
    pre = (x - subtract * t["b_dec"]) @ t["W_enc"] + t["b_enc"]
    acts = pre * (pre > t["threshold"])
    agrees(bring(world, tmp_path / "a", tmp_path / "o"), x, acts, acts @ t["W_dec"] + t["b_dec"])


@pytest.mark.parametrize("rescale", [True, False])
def test_saelens_topk(world, tmp_path, rescale: bool) -> None:
    t = foreign.base(D_IN)
    foreign.write_saelens(tmp_path / "a", "topk", t, k=K, rescale_acts_by_decoder_norm=rescale)
    x, norms = x_of(world), np.linalg.norm(t["W_dec"], axis=1)
    pre = (x - t["b_dec"]) @ t["W_enc"] + t["b_enc"]
    acts = foreign.top_k(pre * norms if rescale else pre)
    decoder = t["W_dec"] / norms[:, None] if rescale else t["W_dec"]
    sae = bring(world, tmp_path / "a", tmp_path / "o", sparsity=None)
    agrees(sae, x, acts, acts @ decoder + t["b_dec"])


def test_saelens_batchtopk_checkpoint_with_a_scale(world, tmp_path) -> None:
    t = foreign.base(D_IN)
    stored = {**t, "topk_threshold": np.array(0.7, np.float64)}
    cfg = {"k": 4.0, "rescale_acts_by_decoder_norm": True,
           "normalize_activations": "expected_average_only_in"}  # fmt: skip
    foreign.write_saelens(tmp_path / "a", "batchtopk", stored, **cfg)
    with pytest.raises(UserError, match=r"expected_average_only_in.*Give it as `scale`"):
        bring(world, tmp_path / "a", tmp_path / "o")
    (tmp_path / "a" / "activation_scaler.json").write_text('{"scaling_factor": 0.5}')
    x, norms = x_of(world), np.linalg.norm(t["W_dec"], axis=1)
    pre = ((0.5 * x - t["b_dec"]) @ t["W_enc"] + t["b_enc"]) * norms
    acts = pre * (pre > 0.7)
    out = (acts @ (t["W_dec"] / norms[:, None]) + t["b_dec"]) / 0.5
    # the decoder's rows have norm 1 again, so the scale has moved into the activations
    agrees(bring(world, tmp_path / "a", tmp_path / "o"), x, acts / 0.5, out)


def test_estimated_scale_is_that_of_the_activations(world, tmp_path) -> None:
    t = foreign.base(D_IN)
    cfg = {"normalize_activations": "expected_average_only_in"}
    foreign.write_saelens(tmp_path / "a", "standard", t, **cfg)
    sae = bring(world, tmp_path / "a", tmp_path / "o", scale="estimate")
    factor = np.sqrt(D_IN) / np.linalg.norm(world["x"][:640], axis=1).mean()
    x = x_of(world)
    acts = np.maximum((factor * x - t["b_dec"]) @ t["W_enc"] + t["b_enc"], 0)
    agrees(sae, x, acts, (acts @ t["W_dec"] + t["b_dec"]) / factor)


def test_saelens_before_version_6(world, tmp_path) -> None:
    t, folder = foreign.base(D_IN), tmp_path / "a"
    folder.mkdir()
    cfg = {"d_in": D_IN, "d_sae": D_SAE, "dtype": "torch.float32", "hook_point": SITE,
           "model_name": "gpt2-small", "activation_fn_str": "topk",
           "activation_fn_kwargs": {"k": K}, "normalize_activations": False}  # fmt: skip
    (folder / "cfg.json").write_text(json.dumps(cfg))
    factor = np.abs(foreign.random(D_SAE, seed=9))
    save_file({**t, "scaling_factor": factor}, folder / "sae_weights.safetensors")
    x = x_of(world)
    acts = foreign.top_k((x - t["b_dec"]) @ t["W_enc"] + t["b_enc"])
    sae = bring(world, folder, tmp_path / "o", sparsity=None)
    agrees(sae, x, acts, (acts * factor) @ t["W_dec"] + t["b_dec"])
    cfg = json.loads((tmp_path / "o" / "cfg.json").read_text())
    assert cfg["metadata"]["model_name"] == "gpt2-small" and cfg["metadata"]["hook_name"] == SITE


@pytest.mark.parametrize("kind", ["layer_norm", "constant_norm_rescale"])
def test_saelens_normalisations_stay(world, tmp_path, kind: str) -> None:
    t, x = foreign.base(D_IN), x_of(world)
    foreign.write_saelens(tmp_path / "a", "standard", t, normalize_activations=kind)
    if kind == "layer_norm":
        mean, std = x.mean(1, keepdims=True), x.std(1, keepdims=True, ddof=1)
        seen = (x - mean) / (std + 1e-5)
    else:
        mean, std = 0, np.linalg.norm(x, axis=1, keepdims=True) / np.sqrt(D_IN)
        seen = x / std
    acts = np.maximum((seen - t["b_dec"]) @ t["W_enc"] + t["b_enc"], 0)
    sae = bring(world, tmp_path / "a", tmp_path / "o")
    agrees(sae, x, acts, (acts @ t["W_dec"] + t["b_dec"]) * std + mean)


@pytest.mark.parametrize("subtract", [True, False])
@pytest.mark.parametrize("kind", ["standard", "gated"])
def test_centred_activations_are_folded(world, tmp_path, kind: str, subtract: bool) -> None:
    t, x = foreign.base(D_IN), x_of(world)
    if kind == "gated":
        t["b_gate"], t["b_mag"] = t.pop("b_enc"), 0.2 * foreign.random(D_SAE, seed=6)
        t["r_mag"] = 0.5 * foreign.random(D_SAE, seed=7)
    about = {"model_from_pretrained_kwargs": {"center_writing_weights": True}}
    foreign.write_saelens(tmp_path / "a", kind, t, metadata=about, apply_b_dec_to_input=subtract)
    projected = (x - x.mean(1, keepdims=True) - subtract * t["b_dec"]) @ t["W_enc"]
    if kind == "gated":
        magnitude = np.maximum(projected * np.exp(t["r_mag"]) + t["b_mag"], 0)
        acts = magnitude * (projected + t["b_gate"] > 0)
    else:
        acts = np.maximum(projected + t["b_enc"], 0)
    sae = bring(world, tmp_path / "a", tmp_path / "o")
    agrees(sae, x, acts, acts @ t["W_dec"] + t["b_dec"])
    cfg = json.loads((tmp_path / "o" / "cfg.json").read_text())
    assert cfg["metadata"]["model_from_pretrained_kwargs"] == {}
    plain = bring(world, tmp_path / "a", tmp_path / "p", centred=False)
    assert not torch.allclose(plain.W_enc, sae.W_enc)


def test_old_jumprelu_checkpoint_holds_logarithms(world, tmp_path) -> None:
    t = foreign.base(D_IN)
    log = foreign.random(D_SAE, seed=4)
    foreign.write_saelens(tmp_path / "a", "jumprelu", {**t, "log_threshold": log})
    sae = bring(world, tmp_path / "a", tmp_path / "o")
    np.testing.assert_allclose(sae.threshold.numpy(), np.exp(log), rtol=1e-6)


@pytest.mark.parametrize("as_file", [True, False])
def test_gemma_scope(world, tmp_path, as_file: bool) -> None:
    t = {**foreign.base(D_IN), "threshold": np.abs(foreign.random(D_SAE, seed=5))}
    folder = tmp_path / "layer_0" / "width_20" / "average_l0_71"
    foreign.write_gemma_scope(folder, {k.replace("W_", "w_"): v for k, v in t.items()})
    place = folder / "params.npz" if as_file else folder
    known = about.look(files.local_files(place), "auto", str(place))
    assert known == {"format": "gemma_scope", "architecture": "jumprelu", "d_sae": 20,
                     "sparsity": 71.0, "layer": 0}  # fmt: skip
    x = x_of(world)
    pre = x @ t["W_enc"] + t["b_enc"]
    acts = pre * (pre > t["threshold"])
    agrees(bring(world, place, tmp_path / "o"), x, acts, acts @ t["W_dec"] + t["b_dec"])


@pytest.mark.parametrize("cfg", [{}, {"num_latents": 0, "expansion_factor": 2}])
def test_sparsify_keeps_its_decoder_as_it_is(world, tmp_path, cfg: dict) -> None:
    t = foreign.base(D_IN)
    if cfg:
        t = {k: np.concatenate([v, v[:4]]) if v.shape[0] == D_SAE else
             np.concatenate([v, v[:, :4]], axis=1) if v.shape[-1] == D_SAE else v
             for k, v in t.items()}  # fmt: skip
        t["b_enc"] = 0.3 * foreign.random(24)
    foreign.write_sparsify(tmp_path / "a", t, normalize_decoder=False, **cfg)
    x = x_of(world)
    acts = foreign.top_k((x - t["b_dec"]) @ t["W_enc"] + t["b_enc"])
    sae = bring(world, tmp_path / "a", tmp_path / "o", sparsity=None)
    agrees(sae, x, acts, acts @ t["W_dec"] + t["b_dec"])


@pytest.mark.parametrize(
    "kind",
    ["AutoEncoder", "AutoEncoderNew", "GatedAutoEncoder", "AutoEncoderTopK", "BatchTopKSAE",
     "JumpReluAutoEncoder", "MatryoshkaBatchTopKSAE"],
)  # fmt: skip
def test_dictionary_learning(world, tmp_path, kind: str) -> None:
    t, x = foreign.base(D_IN), x_of(world)
    threshold = np.abs(foreign.random(D_SAE, seed=5))
    one = np.float32(0.4)
    subtract = kind not in ("AutoEncoderNew", "JumpReluAutoEncoder")
    projected = (x - subtract * t["b_dec"]) @ t["W_enc"]
    pre = projected + t["b_enc"]
    gates = {"r_mag": 0.2 * foreign.random(D_SAE), "gate_bias": 0.3 * foreign.random(D_SAE, seed=8)}
    magnitude = np.maximum(projected * np.exp(gates["r_mag"]) + t["b_enc"], 0)
    linear = foreign.linear(t)
    both = {"k": np.int32(K), "threshold": one}
    cases = {
        "AutoEncoder": ({**linear, "bias": t["b_dec"]}, np.maximum(pre, 0)),
        "AutoEncoderNew": ({**linear, "decoder.bias": t["b_dec"]}, np.maximum(pre, 0)),
        "GatedAutoEncoder": (
            {"encoder.weight": linear["encoder.weight"], "decoder.weight": linear["decoder.weight"],
             "decoder_bias": t["b_dec"], "mag_bias": t["b_enc"], **gates},
            magnitude * (projected + gates["gate_bias"] > 0),
        ),
        "AutoEncoderTopK": ({**linear, "b_dec": t["b_dec"], **both}, foreign.top_k(pre)),
        "BatchTopKSAE": ({**linear, "b_dec": t["b_dec"], **both}, pre * (pre > one)),
        "JumpReluAutoEncoder": ({**t, "threshold": threshold}, pre * (pre > threshold)),
        "MatryoshkaBatchTopKSAE": (
            {**t, **both, "group_sizes": np.array([8, 12])}, pre * (pre > one)
        ),
    }  # fmt: skip
    state, acts = cases[kind]
    foreign.write_dictionary_learning(tmp_path / "a", kind, state)
    sae = bring(world, tmp_path / "a", tmp_path / "o")
    agrees(sae, x, acts, acts @ t["W_dec"] + t["b_dec"])


# ---------------------------------------------------------------------------- coordinates


def test_the_configuration_has_the_first_word(tmp_path) -> None:
    foreign.write_dictionary_learning(tmp_path, "BatchTopKSAE", {}, k=K)
    known = about.look(files.local_files(tmp_path))
    sae = ImportedSAE(path=str(tmp_path), site="blocks.0.hook_mlp_out")
    found = about.settings(sae, "sha256:0", known)
    assert (found.architecture, found.d_sae, found.sparsity, found.seed) == ("batchtopk", 20, 3, 7)
    over = sae.model_copy(update={"sparsity": 60.0, "seed": 1, "architecture": "other"})
    found = about.settings(over, "sha256:0", known)
    assert (found.architecture, found.d_sae, found.sparsity, found.seed) == ("other", 20, 60, 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"site": "blocks.3.hook_mlp_out"}, r"name layer 0, `site` is 'blocks.3.hook_mlp_out'"),
        ({"d_sae": 21}, r"d_sae is 21 here and 20 in the files"),
    ],
)
def test_contradictions_are_refused(tmp_path, change: dict, message: str) -> None:
    foreign.write_dictionary_learning(tmp_path, "BatchTopKSAE", {}, k=K)
    known = about.look(files.local_files(tmp_path))
    sae = ImportedSAE(path=str(tmp_path), **{"site": "blocks.0.hook_mlp_out", **change})
    with pytest.raises(UserError, match=message):
        about.settings(sae, "sha256:0", known)


def test_another_hook_is_refused_unless_told(tmp_path) -> None:
    t = foreign.base(D_IN)
    foreign.write_saelens(
        tmp_path, "standard", t, metadata={"hook_name": "blocks.1.hook_resid_pre"}
    )
    known = about.look(files.local_files(tmp_path))
    sae = ImportedSAE(path=str(tmp_path), site="blocks.0.hook_resid_post", sparsity=9)
    with pytest.raises(UserError, match=r"'blocks.1.hook_resid_pre'.*check_hook: false"):
        about.settings(sae, "sha256:0", known)
    told = sae.model_copy(update={"check_hook": False})
    assert about.settings(told, "sha256:0", known).architecture == "relu"


@pytest.mark.parametrize(
    "name", ["../../etc/x", "a b", "$(touch pwned)", "", "x" * 100_000, 7, ["a"]]
)
def test_names_in_files_never_become_file_names(tmp_path, name: object) -> None:
    t = foreign.base(D_IN)
    about_it = {"training_architecture": name, "training_architecture_details": {"seed": 10**400}}
    foreign.write_saelens(tmp_path, "standard", t, metadata=about_it)
    known = about.look(files.local_files(tmp_path))
    assert "seed" not in known
    sae = ImportedSAE(path="x", site=SITE, sparsity=9)
    if isinstance(name, str) and name:
        with pytest.raises(UserError, match=r"its files call it .*; give `architecture`"):
            about.settings(sae, "sha256:0", known)
    else:  # no name at all: the architecture at inference
        assert about.settings(sae, "sha256:0", known).architecture == "relu"


def test_what_nothing_says_has_to_be_given(tmp_path) -> None:
    foreign.write_saelens(
        tmp_path, "jumprelu", {**foreign.base(D_IN), "threshold": np.ones(20, "f4")}
    )
    known = about.look(files.local_files(tmp_path))
    with pytest.raises(UserError, match="do not say its sparsity; give `sparsity`"):
        about.settings(ImportedSAE(path="x", site=SITE), "sha256:0", known)


def test_placeholders_stand_for_rows_or_products() -> None:
    entry = ImportEntry(
        path="layer_{layer}/width_{width}/params.npz", site="blocks.{layer}.hook_resid_post",
        each={"layer": [5, 12], "width": ["16k", "65k"]},
    )  # fmt: skip
    assert [(s.path, s.site) for s in entry.expand()][2] == (
        "layer_12/width_16k/params.npz", "blocks.12.hook_resid_post",
    )  # fmt: skip
    rows = ImportEntry(path="s{seed}-{k}", site="a", seed="{seed}", sparsity="{k}",
                       each=[{"seed": 0, "k": 8}, {"seed": 1, "k": 16}])  # fmt: skip
    assert [(s.path, s.seed, s.sparsity) for s in rows.expand()] == [
        ("s0-8", 0, 8),
        ("s1-16", 1, 16),
    ]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"path": "{widht}", "each": {"width": [1]}}, "did you mean 'width'"),
        ({"path": "a", "each": {"width": []}}, "each.width: the list is empty"),
        ({"path": "../b", "repo": "a/b"}, "leaves the repository"),
        ({"path": "/etc", "repo": "a/b"}, "leaves the repository"),
        ({"path": "a\\..\\b", "repo": "a/b"}, "leaves the repository"),
        ({"path": "a", "repo": "../../x"}, "should match pattern"),
        ({"path": "a", "architecture": "../x"}, "should match pattern"),
        ({"path": "{a.__class__}", "each": {"a": [1]}}, "has no value"),
        ({"path": "a", "scale": -1.0}, "scale must be above zero"),
    ],
)
def test_bad_entries_are_named(entry: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ImportEntry(site="a", **entry)


# ---------------------------------------------------------------------------- the hub


COMMIT = "c" * 40


@pytest.fixture
def hub(tmp_path, monkeypatch) -> Path:
    """The snapshot folder of repository a/b in a cache without network."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    snapshot = tmp_path / "cache" / "models--a--b" / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    return snapshot


def test_an_sae_of_the_hub_comes_from_the_cache(world, tmp_path, hub: Path) -> None:
    t = foreign.base(D_IN)
    foreign.write_sparsify(hub / "layers.0", t)
    sae = ImportedSAE(path="layers.0", repo="a/b", revision=COMMIT, site=SITE)
    known = about.look(files.hub_files("a/b", COMMIT, "layers.0", network=True))
    settings = about.settings(sae, COMMIT, known)
    assert settings.content == {"repo": "a/b", "commit": COMMIT, "path": "layers.0"}
    inputs = {r: world[r] for r in ("activations", "masks", "corpus")}
    spec = {"settings": settings.identity()}
    imports.run(spec, inputs, tmp_path / "o", Context(device="cpu"))
    x = x_of(world)
    acts = foreign.top_k((x - t["b_dec"]) @ t["W_enc"] + t["b_enc"])
    agrees(load(tmp_path / "o"), x, acts, acts @ t["W_dec"] + t["b_dec"])


def test_what_is_not_in_the_cache_says_how_to_fetch_it(hub: Path) -> None:
    place = "layer_5/width_16k/average_l0_68/params.npz"
    known = about.look(
        files.hub_files("a/b-res", COMMIT, place, network=True), name=f"a/b-res/{place}"
    )
    assert known["hook"] == "blocks.5.hook_resid_post" and known["d_sae"] == 16384
    absent = files.hub_files("a/b-res", COMMIT, place, network=False)
    command = (
        rf"hf download a/b-res --revision {COMMIT} --include 'layer_5/width_16k/average_l0_68/\*'"
    )
    with pytest.raises(UserError, match=command):
        absent.need("params.npz")
    with pytest.raises(UserError, match=r"not an SAE of a known format.*hf download a/b "):
        about.look(files.hub_files("a/b", COMMIT, "layers.7", network=True))

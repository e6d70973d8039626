"""Sites, model settings and identities: plain Python, no torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

from interpsweep.config.activations import CaptureItem, CaptureSettings
from interpsweep.config.models import Model, TrainModelSettings, model_identity
from interpsweep.config.sites import expand_sites, next_site, site_layer
from interpsweep.errors import UserError
from interpsweep.models.identity import (
    check_pin,
    checkpoint_files,
    hub_commit,
    resolve_path,
    weights_digest,
)

MODEL = TypeAdapter(Model)


@pytest.mark.parametrize(
    ("entries", "sites"),
    [
        (["hook_embed"], ["hook_embed"]),
        (["blocks.{0..2}.hook_mlp_out"], [f"blocks.{i}.hook_mlp_out" for i in (0, 1, 2)]),
        (["blocks.{0..9..4}.hook_z"], [f"blocks.{i}.hook_z" for i in (0, 4, 8)]),
        (["blocks.{1, 3}.hook_{q,k}"], [f"blocks.{i}.hook_{x}" for i in (1, 3) for x in "qk"]),
        (["ln_final.hook_normalized", "blocks.0.x"], ["ln_final.hook_normalized", "blocks.0.x"]),
    ],
)
def test_ranges_of_sites(entries: list[str], sites: list[str]) -> None:
    assert list(expand_sites(entries)) == sites


@pytest.mark.parametrize(
    "entries",
    [["blocks.{3..1}.x"], ["blocks.{1..}.x"], ["blocks.{}.x"], ["a/../b"], ["a b"], ["$(x)"], [""]],
)
def test_bad_names_are_refused(entries: list[str]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        expand_sites(entries)


def test_a_site_named_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        expand_sites(["blocks.{0..3}.x", "blocks.2.x"])


def test_layers_of_sites() -> None:
    assert site_layer("blocks.8.hook_resid_post") == 8
    assert site_layer("blocks.11.attn.hook_z") == 11
    assert site_layer("hook_embed") is None
    assert site_layer("ln_final.hook_normalized") is None


def test_names_and_sites_are_not_part_of_a_trained_model() -> None:
    plain = MODEL.validate_python({"source": "trained", "name": "a", "sites": ["hook_embed"]})
    other = MODEL.validate_python(
        {
            "source": "trained",
            "name": "b",
            "sites": [{"site": "blocks.{0..1}.hook_resid_post", "overrides": {"train": {}}}],
        }
    )
    assert plain.identity() == other.identity()
    assert TrainModelSettings(**plain.identity()).seed == 0
    assert other.site_names == ("blocks.0.hook_resid_post", "blocks.1.hook_resid_post")
    assert other.site_overrides("blocks.1.hook_resid_post") == {"train": {}}
    assert plain.site_overrides("hook_embed") == {}


def test_bad_models_are_refused() -> None:
    base = {"source": "trained", "name": "a", "sites": ["hook_embed"]}
    for wrong in (
        {"sites": []},
        {"sites": ["../x"]},
        {"name": "a/b"},
        {"architecture": {"d_model": 65}},
        {"nonsense": 1},
        {"source": "elsewhere"},
    ):
        with pytest.raises(ValidationError):
            MODEL.validate_python({**base, **wrong})


def test_identities() -> None:
    sites = ["hook_embed"]
    hub = MODEL.validate_python({"source": "hub", "name": "g", "repo": "a/b", "sites": sites})
    path = MODEL.validate_python({"source": "path", "name": "p", "path": "x", "sites": sites})
    assert model_identity(hub, commit="c0") == {
        "source": "hub",
        "repo": "a/b",
        "commit": "c0",
        "dtype": "float32",
    }
    assert model_identity(path, weights="sha256:0")["weights"] == "sha256:0"


def test_one_item_is_one_site() -> None:
    settings = {**CaptureSettings().identity(), "model": {"source": "trained"}}
    assert CaptureItem(**settings, site="hook_embed").site == "hook_embed"
    with pytest.raises(ValidationError):
        CaptureItem(**settings, site="blocks.{0..1}.hook_z")


def checkpoint(folder: Path) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "README.md").write_text("read me")
    return folder


def test_the_digest_sees_weights_and_not_the_readme(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "a")
    before = weights_digest(folder)
    (folder / "README.md").write_text("other words")
    assert weights_digest(folder) == before == weights_digest(checkpoint(tmp_path / "b"))
    check_pin("m", before, before.removeprefix("sha256:"))
    (folder / "model.safetensors").write_bytes(b"Weights")
    assert weights_digest(folder) != before
    with pytest.raises(UserError, match="pin"):
        check_pin("m", weights_digest(folder), before)


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "a")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(UserError, match="never read"):
        checkpoint_files(folder)
    with pytest.raises(UserError, match="no such folder"):
        checkpoint_files(tmp_path / "nowhere")


def test_folders_inside_packages() -> None:
    assert (resolve_path("package:interpsweep/models") / "identity.py").is_file()
    for bad in ("package:no_such_package_at_all/x", "package:os.path/x", "package:json/../x"):
        with pytest.raises(UserError):
            resolve_path(bad)


def test_a_commit_needs_no_hub() -> None:
    assert hub_commit("a/b", "0" * 40) == "0" * 40


def test_an_unreachable_hub_is_one_clear_message(monkeypatch, tmp_path):
    import huggingface_hub.constants as hub

    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(hub, "ENDPOINT", "http://127.0.0.1:9")  # nobody listens
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UserError, match=r"no network, and revision 'main'.*hf download a/b"):
        hub_commit("a/b", "main")


def test_planning_needs_no_torch() -> None:
    code = (
        "import sys, interpsweep.config.models, interpsweep.config.activations, "
        "interpsweep.models.identity, interpsweep.activations.reader; "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_next_site_is_in_a_later_layer_and_of_the_same_kind() -> None:
    sites = ["ln_final.hook_normalized", "hook_embed"]
    sites += expand_sites(["blocks.{0..4..2}.hook_resid_post", "blocks.{1,3}.hook_mlp_out"])
    for site, expected in (
        ("hook_embed", "blocks.0.hook_resid_post"),
        ("blocks.0.hook_resid_post", "blocks.2.hook_resid_post"),
        ("blocks.1.hook_mlp_out", "blocks.3.hook_mlp_out"),
        ("blocks.3.hook_mlp_out", "blocks.4.hook_resid_post"),
        ("blocks.4.hook_resid_post", None),
        ("ln_final.hook_normalized", None),
        ("unembed.hook_in", None),
    ):
        assert next_site(site, sites) == next_site(site, sites[::-1]) == expected

"""Hostile and broken files of foreign SAEs: nothing in them runs, and each gives one error."""

from __future__ import annotations

import os
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

import foreign_saes as foreign
from foreign_saes import D_SAE, bring
from interpsweep.errors import UserError
from interpsweep.saes.formats import about, files
from saes_world import D_IN, make_world


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("world"))


class Canary:
    """Its pickle writes a file when it is read without care."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self):
        return os.system, (f"touch {self.place}",)


def test_a_pickle_that_runs_code_is_refused_and_does_not_run(world, tmp_path) -> None:
    canary, folder = tmp_path / "canary", tmp_path / "a"
    state = {**foreign.linear(foreign.base(D_IN)), "bias": foreign.base(D_IN)["b_dec"]}
    attempts = [
        lambda path: torch.save({"encoder.weight": Canary(canary)}, path),
        lambda path: torch.save(Canary(canary), path, _use_new_zipfile_serialization=False),
        lambda path: path.write_bytes(pickle.dumps(Canary(canary), protocol=2)),
        lambda path: path.write_bytes(pickle.dumps({"bias": Canary(canary)}, protocol=0)),
    ]
    for attempt in attempts:
        foreign.write_dictionary_learning(folder, "AutoEncoder", state)
        attempt(folder / "ae.pt")
        with pytest.raises(UserError, match=r"ae\.pt: (holds more than tensors|cannot be read)"):
            bring(world, folder, tmp_path / "o")
        assert not canary.exists()
    # the same payload does run where it is trusted, so its silence above means something
    pickle.loads(pickle.dumps(Canary(canary)))
    assert canary.exists()


def test_an_array_of_objects_is_refused_and_does_not_run(world, tmp_path) -> None:
    canary, folder = tmp_path / "canary", tmp_path / "a"
    t = {**foreign.base(D_IN), "threshold": np.array([Canary(canary)] * D_SAE, object)}
    foreign.write_gemma_scope(folder, t)
    with pytest.raises(UserError, match=r"params\.npz: cannot be read"):
        bring(world, folder, tmp_path / "o", d_sae=D_SAE)
    assert not canary.exists()


def test_a_zip_bomb_is_not_unpacked(world, tmp_path) -> None:
    folder = tmp_path / "a"
    folder.mkdir()
    np.savez_compressed(folder / "params.npz", W_enc=np.zeros((D_IN, 2_000_000), np.float32))
    with pytest.raises(UserError, match="which no weights do"):
        bring(world, folder, tmp_path / "o", d_sae=2_000_000)


@pytest.mark.parametrize("name", ["cfg.json", "sae_weights.safetensors"])
def test_links_out_of_the_folder_are_refused(world, tmp_path, name: str) -> None:
    foreign.write_saelens(tmp_path / "elsewhere", "standard", foreign.base(D_IN))
    foreign.write_saelens(tmp_path / "a", "standard", foreign.base(D_IN))
    (tmp_path / "a" / name).unlink()
    (tmp_path / "a" / name).symlink_to(tmp_path / "elsewhere" / name)
    with pytest.raises(UserError, match="a link that leads out of its folder"):
        bring(world, tmp_path / "a", tmp_path / "o")


def broken(tensors: dict, **change) -> dict:
    return {k: v for k, v in {**tensors, **change}.items() if v is not None}


NAN = np.full(D_SAE, np.nan, np.float32)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"b_enc": None}, "no tensor 'b_enc'"),
        ({"W_skip": np.ones(3, np.float32)}, "unexpected tensor 'W_skip'"),
        ({"b_enc": NAN}, "b_enc has values that are not finite"),
        ({"b_enc": np.ones(3, np.float32)}, r"b_enc has shape \(3,\); it must be \(20,\)"),
        ({"W_dec": np.ones((D_SAE, D_IN + 1), np.float32)}, "for activations of width 13"),
        ({"W_dec": np.zeros((D_SAE, D_IN), np.float32)}, "W_dec is all zero"),
        ({"W_dec": np.ones(D_IN, np.float32)}, "W_dec has shape"),
        ({"b_enc": np.ones(D_SAE, np.int64)}, "not a floating-point"),
    ],
)
def test_unsound_tensors_are_named(world, tmp_path, change: dict, message: str) -> None:
    foreign.write_saelens(tmp_path / "a", "standard", broken(foreign.base(D_IN)))
    save_file(broken(foreign.base(D_IN), **change), tmp_path / "a" / "sae_weights.safetensors")
    with pytest.raises(UserError, match=message):
        bring(world, tmp_path / "a", tmp_path / "o")
    assert not (tmp_path / "o" / "cfg.json").exists()


def overwrite(name: str, data: bytes):
    return lambda folder: (folder / name).write_bytes(data)


@pytest.mark.parametrize(
    ("attack", "message"),
    [
        (overwrite("sae_weights.safetensors", struct.pack("<Q", 1 << 60) + b"{}"), "cannot be read"),
        (overwrite("sae_weights.safetensors", b""), "cannot be read"),
        (overwrite("sae_weights.safetensors", b"x" * (1 << 25)), "too many for 20 latents"),
        (overwrite("cfg.json", b"[" * 200_000), "not valid JSON"),
        (overwrite("cfg.json", b"\xff\xfe"), "not valid JSON"),
        (overwrite("cfg.json", b"[1]"), "not a mapping"),
        (overwrite("cfg.json", b'{"architecture": "transcoder", "d_sae": 20}'), "'transcoder' is not"),
        (overwrite("cfg.json", b'{"d_sae": 20, "normalize_activations": "covariance_whitening"}'),
         "cannot be imported"),
        (overwrite("cfg.json", b'{"d_sae": 20, "activation_fn_str": "tanh-relu"}'), "tanh-relu"),
        (overwrite("cfg.json", b'{"d_sae": 20, "architecture": "topk", "k": -3}'), "positive whole"),
        (overwrite("cfg.json", b'{"d_sae": 20, "architecture": "topk", "k": 21}'), "more than all 20"),
    ],
)  # fmt: skip
def test_hostile_files_give_one_message(world, tmp_path, attack, message: str) -> None:
    foreign.write_saelens(tmp_path / "a", "standard", foreign.base(D_IN))
    attack(tmp_path / "a")
    with pytest.raises(UserError, match=message):
        bring(world, tmp_path / "a", tmp_path / "o")


def test_a_tensor_that_claims_more_than_its_file_holds(world, tmp_path) -> None:
    t = foreign.base(D_IN)
    state = {**foreign.linear(t), "bias": t["b_dec"]}
    foreign.write_dictionary_learning(tmp_path / "a", "AutoEncoder", state)
    huge = {**{k: torch.as_tensor(v) for k, v in state.items()}}
    huge["encoder.weight"] = torch.zeros(1).expand(1 << 20, 1 << 20)
    torch.save(huge, tmp_path / "a" / "ae.pt")
    with pytest.raises(UserError, match="more than the file holds"):
        bring(world, tmp_path / "a", tmp_path / "o")


def test_names_in_an_archive_lead_nowhere(world, tmp_path) -> None:
    folder = tmp_path / "a"
    folder.mkdir()
    with zipfile.ZipFile(folder / "params.npz", "w") as archive:
        archive.writestr("../../escaped.npy", b"\x93NUMPY")
    with pytest.raises(UserError, match=r"params\.npz"):
        bring(world, folder, tmp_path / "o", d_sae=D_SAE)
    assert not (tmp_path.parent / "escaped.npy").exists() and list(folder.iterdir()) == [
        folder / "params.npz"
    ]


def test_sparsify_variants_that_are_no_saes(world, tmp_path) -> None:
    for key, value in (("transcode", True), ("skip_connection", True), ("activation", "groupmax")):
        foreign.write_sparsify(tmp_path / key, foreign.base(D_IN), **{key: value})
        with pytest.raises(UserError, match=f"{key}.*import"):
            bring(world, tmp_path / key, tmp_path / "o")


def test_changed_files_are_noticed(world, tmp_path) -> None:
    foreign.write_saelens(tmp_path / "a", "standard", foreign.base(D_IN))
    before = files.content_digest(tmp_path / "a")
    tensors = load_file(tmp_path / "a" / "sae_weights.safetensors")
    tensors["b_enc"] = tensors["b_enc"] + 1
    save_file(tensors, tmp_path / "a" / "sae_weights.safetensors")
    assert files.content_digest(tmp_path / "a") != before
    (tmp_path / "a" / "README.md").write_text("notes change nothing")
    after = files.content_digest(tmp_path / "a")
    (tmp_path / "a" / "README.md").unlink()
    assert files.content_digest(tmp_path / "a") == after


def test_an_empty_folder_is_named(tmp_path) -> None:
    with pytest.raises(UserError, match="no SAE in this folder"):
        files.content_digest(tmp_path)
    with pytest.raises(UserError, match="no such folder"):
        files.content_digest(tmp_path / "gone")
    with pytest.raises(UserError, match="File name too long"):
        files.content_digest(tmp_path / ("a" * 400))
    with pytest.raises(UserError, match="no such folder"):
        files.content_digest(tmp_path / "a\0b")


@pytest.mark.parametrize(
    ("named", "latents"),
    [("4k", 4096), ("16k", 16384), ("32k", 32768), ("65k", 65536), ("131k", 131072),
     ("262k", 262144), ("524k", 524288), ("1m", 1048576)],
)  # fmt: skip
def test_widths_of_gemma_scope_are_powers_of_two(tmp_path, named: str, latents: int) -> None:
    place = f"layer_3/width_{named}/average_l0_50/params.npz"
    known = about.look(files.hub_files("a/b", "c" * 40, place, network=False), name=place)
    assert known["d_sae"] == latents

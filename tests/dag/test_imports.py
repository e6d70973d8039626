"""The plan of a sweep with SAEs that somebody else trained: no network, nothing is run."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from foreign_saes import BEFORE_VERSION_6
from interpsweep.commands.preflight import check_imports
from interpsweep.config.load import load_sweep
from interpsweep.errors import UserError
from interpsweep.lock import complete, import_of, read_lock
from interpsweep.store import Store

SITE = "blocks.0.hook_resid_post"
SWEEPS = Path(__file__).parents[2] / "config" / "sweeps"


def write_sae(folder: Path, d_sae: int, k: int = 4, hook: str = SITE) -> None:
    folder.mkdir(parents=True)
    cfg = {"architecture": "topk", "d_in": 16, "d_sae": d_sae, "k": k, "dtype": "float32",
           "metadata": {"sae_lens_version": "6.54.12", "hook_name": hook}}  # fmt: skip
    (folder / "cfg.json").write_text(json.dumps(cfg))
    tensors = {"W_enc": (16, d_sae), "W_dec": (d_sae, 16), "b_enc": (d_sae,), "b_dec": (16,)}
    save_file({name: np.ones(shape, "f4") for name, shape in tensors.items()},
              folder / "sae_weights.safetensors")  # fmt: skip


@pytest.fixture
def data(base: dict[str, Any], folder) -> dict[str, Any]:
    root = folder.config.parent
    for width in (64, 128):
        write_sae(root / "saes" / f"w{width}", width)
    base["models"][0]["sites"] = [SITE]
    base["models"][0]["saes"] = [
        {"path": "saes/w{width}", "site": SITE, "seed": 5, "each": {"width": [64, 128]}}
    ]
    return base


def pairs(plan) -> set[tuple]:
    return {
        (i.at["direction"], i.at["a"]["d_sae"], i.at["a"]["seed"], i.at["b"]["d_sae"], i.at["b"]["seed"])
        for i in plan.items.of("match")
    }  # fmt: skip


def test_imported_saes_are_matched_among_themselves_and_with_trained_ones(folder, data) -> None:
    folder.write(data)
    plan = folder.plan()
    assert [i.at["d_sae"] for i in plan.items.of("import")] == [64, 128]
    assert len(plan.items.of("train")) == 4
    assert ("width", 64, 5, 128, 5) in pairs(plan)  # their own family
    assert ("seed", 64, 1, 64, 5) in pairs(plan)  # a trained twin of the same width, k and kind
    trees = plan.items.of("tree")
    # families of two trained seeds, and theirs; seeds 0 and 1 of both widths, and 1 and 5 of one
    assert Counter(tree.at.get("direction") for tree in trees) == {None: 3, "seed": 3}
    for stage in ("evaluate", "encode", "geometry", "landscape", "meta"):
        assert len(plan.items.of(stage)) == 6
    shown = plan.listing[f"results/tiny/one/{SITE}/saes.json"]
    assert len(shown.items) == 6 and len({name for name, _ in shown.items}) == 6


def test_a_sweep_of_imported_saes_alone(folder, data, planned) -> None:
    data["train"] = {"widths": []}
    folder.write(data)
    assert {rule for rule, _ in planned(folder)} >= {"import", "match", "tree", "claims"}
    assert not any(rule == "train" for rule, _ in planned(folder))
    folder.finish()
    assert not planned(folder)


def test_an_added_import_redoes_nothing_of_the_others(folder, data, planned) -> None:
    folder.write(data)
    before = folder.finish()
    write_sae(folder.config.parent / "saes" / "w256", 256)
    data["models"][0]["saes"][0]["each"]["width"].append(256)
    folder.write(data)
    after = folder.plan()
    added = {
        i.stage: i for d, i in after.items.by_digest.items() if d not in before.items.by_digest
    }
    assert {"import", "encode", "evaluate", "geometry", "match", "tree"} <= added.keys()
    assert "train" not in added and "capture" not in added
    new = [i for d, i in after.items.by_digest.items() if d not in before.items.by_digest]
    assert sum(i.stage == "import" for i in new) == 1
    pairs_of = [(i.at["a"]["d_sae"], i.at["b"]["d_sae"]) for i in new if i.stage == "match"]
    assert sorted(pairs_of) == [(64, 256), (128, 256)]
    assert ("train", after.jobs[0].digest) not in planned(folder)


def test_the_lock_keeps_content_and_what_the_files_say(folder, data) -> None:
    folder.write(data)
    plan = folder.plan()
    lock = read_lock(folder.config.with_suffix(".lock.json"))
    content = lock["sae:saes/w64"]
    assert content.startswith("sha256:")
    assert json.loads(lock[f"about:auto:{content}/saes/w64"])["d_sae"] == 64
    # planning reads the lock alone: the files may be gone
    (folder.config.parent / "saes" / "w64" / "sae_weights.safetensors").unlink()
    assert folder.plan().digest == plan.digest


def test_a_job_is_told_of_the_outside_inputs_that_it_reads_and_no_others(folder, data) -> None:
    data["models"].append({**data["models"][0], "name": "two", "seed": 7})
    data["models"][1]["saes"] = [{"path": "saes/w128", "site": SITE, "seed": 5}]
    folder.write(data)
    plan = folder.finish()
    told = {}
    for job in plan.jobs:
        run = json.loads(Store().spec_path(job.digest).read_text())["run"]
        told[job.stage, job.name.split("-")[0]] = sorted(run["externals"].values())
    assert told.pop(("import", "one")) == ["sae:saes/w128", "sae:saes/w64"]
    assert told.pop(("import", "two")) == ["sae:saes/w128"]
    assert not any(told.values())


def test_an_import_in_the_place_of_a_trained_sae_is_refused(folder, data) -> None:
    data["models"][0]["saes"][0]["seed"] = 1
    folder.write(data)
    with pytest.raises(
        UserError, match=r"two SAEs at .* alike: topk, sparsity 4, d_sae 64, seed 1"
    ):
        folder.plan()


def test_an_import_of_another_hook_is_refused_before_anything_runs(folder, data) -> None:
    write_sae(folder.config.parent / "other", 32, hook="blocks.1.hook_mlp_out")
    data["models"][0]["saes"].append({"path": "other", "site": SITE})
    folder.write(data)
    with pytest.raises(UserError, match=r"name the hook 'blocks\.1\.hook_mlp_out'"):
        folder.plan()


def test_a_folder_without_an_sae_is_named(folder, data) -> None:
    data["models"][0]["saes"].append({"path": "nowhere", "site": SITE})
    folder.write(data)
    with pytest.raises(UserError, match="nowhere: no such folder"):
        folder.plan()


def test_another_width_than_the_site_is_refused_before_any_job(folder, data) -> None:
    folder.write(data)
    plan = folder.plan()
    (model,) = plan.sweep.models
    check_imports(plan, Store(), model, {"widths": {SITE: 16}})
    with pytest.raises(UserError, match=r"activations of width 16; those of .* have width 32"):
        check_imports(plan, Store(), model, {"widths": {SITE: 32}})


def test_what_is_not_in_the_cache_is_missed_before_any_job(
    folder, data, tmp_path, monkeypatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    data["models"][0]["saes"] = [
        {"repo": "a/b", "path": "layer_0/width_16k/average_l0_9/params.npz", "revision": "c" * 40,
         "site": SITE}
    ]  # fmt: skip
    folder.write(data)
    plan = folder.plan()  # needs no file of it: the name says all
    assert plan.items.of("import")[0].at["d_sae"] == 16384
    with pytest.raises(UserError, match=r"params\.npz.*hf download a/b --revision c{40} --include"):
        check_imports(plan, Store(), plan.sweep.models[0], {"widths": {SITE: 16}})


def test_the_shipped_family_of_gpt2_is_read_as_what_it_is(tmp_path, monkeypatch) -> None:
    """Its configurations are SAELens' of before version 6; weights are not fetched for a look."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    sweep = load_sweep([SWEEPS / "gpt2-small-splitting.yaml"])
    saes, commit = sweep.models[0].all_imports, "c" * 40
    (repo,) = {sae.repo for sae in saes}
    place = tmp_path / f"models--{repo.replace('/', '--')}" / "snapshots" / commit
    for sae in saes:
        width = int(sae.path.rpartition("_")[2])
        told = {**BEFORE_VERSION_6, "hook_point": sae.site, "d_in": 768, "d_sae": width}
        (place / sae.path).mkdir(parents=True)
        (place / sae.path / "cfg.json").write_text(json.dumps(told))
    lock = complete(sweep, {f"sae-hub:{repo}@main": commit})
    for sae in saes:
        found = import_of(sae, lock)
        assert (found.format, found.architecture, found.centred) == ("saelens", "relu", True)
        assert found.d_sae == int(sae.path.rpartition("_")[2]) and found.sparsity == 40

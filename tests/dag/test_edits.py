"""Edit -> exactly the work it demands, no more and no less."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from conftest import SNAKEFILE

from interpsweep import driver
from interpsweep.lock import lock_path, write_lock
from interpsweep.store import Store

Edit = Callable[[dict[str, Any]], Any]

SITE = ("blocks.0.hook_resid_post", "blocks.1.hook_resid_post")
# Everything that reads the tables of the whole sweep.
TOP = {"claims": 1, "report": 1, "bundle": 1}
# Figures: 6 over the whole sweep, 8 for each of 2 sites, 1 for each of 4 families.
ALL_FIGURES = {"figures": 26}
FROM_SAE_FIGURES = {"figures": 25}  # all but the labelled concepts, which need no SAE
FROM_TREES = {"tree": 4, **TOP}
FROM_MATCHES = {"match": 8, **FROM_TREES}
FROM_CODES = {"encode": 8, "geometry": 8, **FROM_MATCHES}
FROM_SAES = {"train": 8, "evaluate": 8, **FROM_CODES, **FROM_SAE_FIGURES}
FROM_ACTIVATIONS = {"capture": 2, "concepts": 2, **FROM_SAES}


def put(path: str, value: Any) -> Edit:
    """An edit that sets one dotted key."""

    def edit(data: dict[str, Any]) -> None:
        *parents, last = path.split(".")
        for key in parents:
            data = data[int(key)] if key.isdigit() else data.setdefault(key, {})
        data[last] = value

    return edit


def reorder_keys(data: dict[str, Any]) -> None:
    for key in list(data)[::-1]:
        data[key] = data.pop(key)


EDITS: list[tuple[str, Edit, dict[str, int]]] = [
    ("nothing", lambda data: None, {}),
    ("label", put("label", "another note"), {}),
    ("key order", reorder_keys, {}),
    ("1.0 for 1", put("train.sparsities", [4.0]), {}),
    ("widths reordered", put("train.widths", [64, 32]), {}),
    ("seeds reordered", put("train.seeds", [1, 0]), {}),
    ("sites reordered", put("models.0.sites", list(SITE[::-1])), {}),
    ("a range of sites", put("models.0.sites", ["blocks.{0..1}.hook_resid_post"]), {}),
    ("device", put("run", {"device": "cpu"}), {}),
    ("pack", put("run", {"pack": 2}), {}),
    ("threads and workers", put("run", {"threads": 2, "workers": 3, "engine": "processes"}), {}),
    ("memory and runtime", put("run", {"memory": 900, "runtime": 5}), {}),
    ("a default written out", put("corpus.context_length", 64), {}),
    ("retention", put("keep", {"activations": "always"}), {}),
    ("figure style", put("figures", {"style": {"dpi": 90}}), {**ALL_FIGURES, "report": 1, "bundle": 1}),
    ("fewer figures", put("figures", {"draw": ["pareto"]}), {"report": 1, "bundle": 1}),
    ("report title", put("report", {"title": "T"}), {"report": 1, "bundle": 1}),
    ("claims level", put("claims", {"q": 0.01}), {**TOP, "figures": 5}),
    ("concepts", put("concepts", {"draws": 999}), {"concepts": 2, **TOP, "figures": 6}),
    ("census", put("geometry", {"draws": 299}), {"geometry": 8, **TOP, "figures": 5 + 3 * 2}),
    ("tree", put("tree", {"min_firings": 99}), {**FROM_TREES, "figures": 5 + 2 + 4}),
    ("match", put("match", {"top_k": 3}), {**FROM_MATCHES, "figures": 5 + 2 * 2 + 4}),
    ("evaluate", put("evaluate", {"contexts": 4}), {"evaluate": 8, **TOP, "figures": 5 + 2 * 2}),
    ("encode", put("encode", {"top_contexts": 3}), {**FROM_CODES, "figures": 5 + 5 * 2 + 4}),
    ("learning rate", put("train.learning_rate", 1e-3), FROM_SAES),
    ("stream seed", put("train.stream_seed", 7), FROM_SAES),
    ("mixing", put("train.block_chunks", 4), FROM_SAES),
    ("storage type", put("capture", {"dtype": "float32"}), {**FROM_ACTIVATIONS, **ALL_FIGURES}),
    ("corpus seed", put("corpus.seed", 3), {"corpus": 1, **FROM_ACTIVATIONS, **ALL_FIGURES}),
    ("model seed", put("models.0.seed", 3), {"model": 1, **FROM_ACTIVATIONS, **ALL_FIGURES}),
    ("language", put("models.0.language", {"noise": 0.1}), {"model": 1, "corpus": 1, **FROM_ACTIVATIONS, **ALL_FIGURES}),
    (
        "a width more",
        put("train.widths", [32, 64, 128]),
        # 2 sites x 2 seeds: the new SAEs, their pairs with width 64 and with the other seed
        {"train": 4, "evaluate": 4, "encode": 4, "geometry": 4, "match": 6, "tree": 4, **TOP, **FROM_SAE_FIGURES},
    ),
    ("a width less", put("train.widths", [32]), {**TOP, "figures": 5 + 7 * 2}),
    (
        "a seed more",
        put("train.seeds", [0, 1, 2]),
        # 2 sites x 2 widths; pairs: one in width and two with seed 1 at each site
        {"train": 4, "evaluate": 4, "encode": 4, "geometry": 4, "match": 6, "tree": 2, **TOP, "figures": 6 - 1 + 16 + 2},
    ),
    (
        "a site more",
        put("models.0.sites", ["hook_embed", *SITE]),
        {"capture": 1, "concepts": 1, "train": 4, "evaluate": 4, "encode": 4, "geometry": 4, "match": 4, "tree": 2,
         **TOP, "figures": 6 + 8 + 2},
    ),
    (
        "one site overridden",
        put("models.0.sites", [SITE[0], {"site": SITE[1], "overrides": {"train": {"tokens": 20000}}}]),
        {"train": 4, "evaluate": 4, "encode": 4, "geometry": 4, "match": 4, "tree": 2, **TOP, "figures": 5 + 8 + 2},
    ),
    (
        "one width overridden",
        put("train.widths", [32, {"d_sae": 64, "learning_rate": 1e-4}]),
        {"train": 4, "evaluate": 4, "encode": 4, "geometry": 4, "match": 6, "tree": 4, **TOP, **FROM_SAE_FIGURES},
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("edit", "expected"), [row[1:] for row in EDITS], ids=[row[0] for row in EDITS]
)
def test_edit_makes_exactly(folder: Any, base: Any, edit: Edit, expected: dict[str, int]) -> None:
    folder.write(base)
    folder.finish()
    edit(base)
    folder.write(base)
    missing = folder.plan().missing(Store())
    assert {stage: len(items) for stage, items in missing.items()} == expected


@pytest.mark.parametrize(
    "name", ["nothing", "pack", "a width more", "figure style", "claims level"]
)
def test_snakemake_plans_the_jobs_of_missing_items(
    folder: Any, base: Any, planned: Any, name: str
) -> None:
    edit = next(row[1] for row in EDITS if row[0] == name)
    folder.write(base)
    folder.finish()
    edit(base)
    folder.write(base)
    plan = folder.plan()
    expected = {plan.job_of[i.digest] for found in plan.missing(Store()).values() for i in found}
    jobs = {digest for _, digest in planned(folder)} & set(plan.job)
    assert jobs == {job.digest for job in expected}


def test_a_new_width_runs_each_affected_job_once(folder: Any, base: Any, planned: Any) -> None:
    folder.write(base)
    folder.finish()
    put("train.widths", [32, 64, 128])(base)
    folder.write(base)
    rules = Counter(rule for rule, _ in planned(folder))
    assert rules["train"] == 2  # one bank for each site, each with two new SAEs
    assert rules["capture"] == rules["build_corpus"] == rules["train_model"] == 0


def test_nothing_to_do_after_a_lost_snakemake_folder(folder: Any, base: Any, planned: Any) -> None:
    folder.write(base)
    folder.finish()
    assert planned(folder) == set()
    shutil.rmtree(".snakemake", ignore_errors=True)
    assert planned(folder) == set()


def test_a_reverted_edit_has_nothing_to_do(folder: Any, base: Any, planned: Any) -> None:
    folder.write(base)
    folder.finish()
    edited = {**base, "report": {"title": "T"}}
    folder.write(edited)
    folder.finish()
    folder.write(base)
    assert planned(folder) == set()


def test_a_deleted_item_is_made_again_and_nothing_else(
    folder: Any, base: Any, planned: Any
) -> None:
    folder.write(base)
    plan = folder.finish()
    sae = plan.items.of("train")[0]
    shutil.rmtree(Store().find(sae.digest))
    assert {rule for rule, _ in planned(folder)} - {"face", "all"} == {"train"}
    missing = folder.plan().missing(Store())
    assert {stage: len(found) for stage, found in missing.items()} == {"train": 1}


def test_swapped_values_are_noticed(folder: Any, base: Any) -> None:
    base["train"] |= {"warm_up": 0.1, "decay": 0.3}
    folder.write(base)
    folder.finish()
    base["train"] |= {"warm_up": 0.3, "decay": 0.1}
    folder.write(base)
    assert len(folder.plan().missing(Store())["train"]) == 8


def test_a_raised_stage_version_remakes_the_stage_and_what_follows(
    folder: Any, base: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    from interpsweep.stages import STAGES

    folder.write(base)
    folder.finish()
    monkeypatch.setitem(STAGES, "tree", replace(STAGES["tree"], version=99))
    missing = {stage: len(items) for stage, items in folder.plan().missing(Store()).items()}
    assert missing == {**FROM_TREES, "figures": 5 + 2 + 4}


def test_reclaimed_activations_come_back_only_when_needed(
    folder: Any, base: Any, planned: Any
) -> None:
    from interpsweep.commands.care import reclaim_activations

    base["keep"] = {"activations": "until_trained"}
    folder.write(base)
    plan = folder.finish()
    for path, acts in plan.reclaimable.items():
        reclaim_activations(acts, folder.config.parent / path)
    assert planned(folder) == set()
    put("train.widths", [32, 64, 128])(base)
    folder.write(base)
    assert {rule for rule, _ in planned(folder)} >= {"capture", "train", "reclaim"}


def test_looking_leaves_reclaimed_activations_as_they_are(folder: Any, base: Any) -> None:
    from interpsweep.commands.care import reclaim_activations

    base["keep"] = {"activations": "until_trained"}
    folder.write(base)
    plan = folder.finish()
    for path, acts in plan.reclaimable.items():
        reclaim_activations(acts, Path(path))
    wider = deepcopy(base)
    put("train.widths", [32, 64, 128])(wider)
    folder.write(wider)
    driver.prepare(folder.plan(), dry=True)  # what `snakemake -n` does
    folder.write(base)
    assert folder.plan().missing(Store()) == {}


def test_activations_captured_again_are_reclaimed_again(
    folder: Any, base: Any, planned: Any
) -> None:
    from interpsweep.commands.care import condemn, reclaim_activations

    base["keep"] = {"activations": "until_trained"}
    folder.write(base)
    plan = folder.finish()
    for path, acts in plan.reclaimable.items():
        reclaim_activations(acts, Path(path))
    condemn(Store().find(plan.items.of("train")[0].digest))  # as `verify --repair` does
    rules = Counter(rule for rule, _ in planned(folder))
    assert (rules["capture"], rules["train"], rules["reclaim"]) == (1, 1, 1)


def test_results_forget_a_site_that_the_sweep_dropped(folder: Any, base: Any) -> None:
    folder.write(base)
    folder.finish()
    mine = Path("results/tiny/one/notes.json")
    mine.write_text("{}")
    put("models.0.sites", [SITE[0]])(base)
    folder.write(base)
    folder.finish()
    assert sorted(path.name for path in Path("results/tiny/one").glob("blocks.*")) == [SITE[0]]
    assert mine.exists()


def test_a_readable_file_that_the_sweep_lacks_is_refused(folder: Any, base: Any) -> None:
    from types import SimpleNamespace

    from interpsweep.errors import UserError
    from interpsweep.workflow import Driver

    folder.write(base)
    wildcards = SimpleNamespace(place=f"tiny/won/{SITE[0]}", face="trees")
    with pytest.raises(UserError, match=f"did you mean 'results/tiny/one/{SITE[0]}/trees.json'"):
        Driver(folder.plan()).shown(wildcards)


def test_layers_are_matched_hook_by_hook_and_names_never_collide(folder: Any, base: Any) -> None:
    name = "m" * 63  # names as long and as alike as the configuration allows
    base["models"] = [{**base["models"][0], "name": f"{name}{end}", "seed": i}
                      for i, end in enumerate("-_")]  # fmt: skip
    for model in base["models"]:
        model["sites"] = ["hook_embed", "blocks.{0,1}.hook_attn_out", "blocks.{0,1}.hook_mlp_out"]
    base["match"] = {"directions": ["width", "seed", "layer"]}
    folder.write(base)
    plan = folder.plan()
    pairs = {
        (m.at["a"]["site"], m.at["b"]["site"]) for m in plan.items.of("match", direction="layer")
    }
    hooks = ("hook_attn_out", "hook_mlp_out")
    assert pairs == {(f"blocks.0.{hook}", f"blocks.1.{hook}") for hook in hooks}
    assert len(plan.pictures) == len(plan.items.of("figures"))
    assert len(plan.face) == len(plan.faces)
    for face in plan.faces:
        assert len(dict(face.items)) == len(face.items), face.path


@pytest.mark.parametrize(
    ("name", "trained", "imported", "locked"),
    [
        ("gpt2-small", 48, 0, {}),
        ("pythia-70m", 144, 0, {}),
        # its SAEs are named by a branch: the lock says which commit that was
        ("gemma-2-2b", 0, 6, {"sae-hub:google/gemma-scope-2b-pt-res@main": "0" * 40}),
    ],
)
def test_ready_sweeps_of_hub_models_plan_offline(
    folder: Any, name: str, trained: int, imported: int, locked: dict[str, str]
) -> None:
    shutil.copy(SNAKEFILE.parent / f"config/sweeps/{name}.yaml", folder.config)
    write_lock(lock_path(folder.config), locked)
    plan = folder.plan()
    assert len(plan.items.of("train")) == trained
    assert len(plan.items.of("import")) == imported
    assert plan.lock  # commits of the model and the data set


@pytest.mark.parametrize(
    ("arguments", "looks"),
    [
        ("all --cores 2", False),
        ("all -n", True),
        ("-nq all", True),
        ("-c2 saes", False),
        ("--dry-run", True),
        ("--report x.zip", True),
        ("--report=x.zip", True),
        ("--workflow-profile profiles/slurm -j 4", False),
        ("-np -c1", True),
    ],
)
def test_dry_runs_are_told_from_real_ones(arguments: str, looks: bool) -> None:
    from interpsweep.workflow import only_looks

    assert only_looks(arguments.split()) is looks

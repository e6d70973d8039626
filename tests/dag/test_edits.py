"""Edit -> exactly the work it demands, no more and no less."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import Counter
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import SNAKEFILE
from edits import READS, SITES, SWEEPS, Row, put, share
from folder import carry_out
from table import EDITS

from interpsweep import driver, workflow
from interpsweep.commands.store import condemn, reclaim_activations
from interpsweep.config.figures import FIGURES
from interpsweep.lock import lock_path, write_lock
from interpsweep.plan import Plan
from interpsweep.store import Store

_BY_WORDS = {row.words: row for row in EDITS}


@pytest.mark.parametrize("row", EDITS, ids=lambda row: row.words)
def test_an_edit_makes_exactly(folder: Any, row: Row) -> None:
    plan, made, expected = carry_out(row, folder)
    named = {item.digest: item.at for item in plan.items.by_digest.values()}
    assert [(s, named[d]) for s, d in made - expected] == [], "made in vain"
    assert [(s, named[d]) for s, d in expected - made] == [], "missed"


def test_the_page_about_reruns_says_what_the_table_says() -> None:
    command = [sys.executable, SNAKEFILE.parent / "scripts" / "what_reruns.py", "--check"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_rows_say_different_things() -> None:
    assert len(_BY_WORDS) == len(EDITS)


def test_what_figures_read_is_what_the_table_says() -> None:
    assert {name: set(figure.needs) for name, figure in FIGURES.items()} == READS


@pytest.mark.parametrize(
    "words", ["the same config again", "`run.pack`: SAEs per job", "a width more", "`claims.q`"]
)
def test_snakemake_plans_the_jobs_of_missing_items(folder: Any, planned: Any, words: str) -> None:
    plan, made, _ = carry_out(_BY_WORDS[words], folder)
    jobs = {digest for _, digest in planned(folder)} & set(plan.job)
    assert jobs == {plan.job_of[item].digest for _, item in made}


@pytest.mark.parametrize(
    "words",
    ["the same config again", "a width more", "the name of a model", "`figures.style`",
     "`keep.activations`", "the folder of one SAE is deleted", "a layer less"],
)  # fmt: skip
def test_what_is_settled_need_not_be_looked_at(
    folder: Any, planned: Any, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real run asks Snakemake for what is left to do, and the jobs are those of asking for all."""
    plan, _, _ = carry_out(_BY_WORDS[words], folder)
    there = driver.prepare(plan)
    unpatched = workflow.SweepView
    asked_for_all = planned(folder)
    left = workflow.SweepView(plan, there, settled=True)
    monkeypatch.setattr(workflow, "SweepView", lambda *_args, **_settings: left)
    asked_for_less = planned(folder)
    spared = asked_for_all - asked_for_less  # copies again what is copied
    assert asked_for_less <= asked_for_all and {rule for rule, _ in spared} <= {
        "picture",
        "listing",
    }
    assert all(Path(path).exists() for _, path in spared)
    everything, rest = unpatched(plan, there).everything(), left.everything()
    assert set(rest) < set(everything) and (len(rest) == 1) == (asked_for_all == set())


def test_a_new_width_runs_each_affected_job_once(folder: Any, base: Any, planned: Any) -> None:
    folder.write(base)
    folder.finish()
    put("train.widths", [32, 64, 128])(base)
    folder.write(base)
    rules = Counter(rule for rule, _ in planned(folder))
    assert rules["train"] == 2  # one bank for each site, each with two new SAEs
    assert rules["capture"] == rules["corpus"] == rules["model"] == 0


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
    assert {rule for rule, _ in planned(folder)} - {"listing", "all"} == {"train"}
    missing = folder.plan().missing(Store())
    assert {stage: len(found) for stage, found in missing.items()} == {"train": 1}


def finish_and_reclaim(folder: Any, base: Any) -> Plan:
    """A finished sweep that keeps activations only until its SAEs are trained."""
    base["keep"] = {"activations": "until_trained"}
    folder.write(base)
    plan = folder.finish()
    for path, acts in plan.reclaimable.items():
        reclaim_activations(acts, folder.config.parent / path)
    return plan


def test_reclaimed_activations_come_back_only_when_needed(
    folder: Any, base: Any, planned: Any
) -> None:
    finish_and_reclaim(folder, base)
    assert planned(folder) == set()
    put("train.widths", [32, 64, 128])(base)
    folder.write(base)
    assert {rule for rule, _ in planned(folder)} >= {"capture", "train", "reclaim"}


def test_looking_leaves_reclaimed_activations_as_they_are(folder: Any, base: Any) -> None:
    finish_and_reclaim(folder, base)
    wider = deepcopy(base)
    put("train.widths", [32, 64, 128])(wider)
    folder.write(wider)
    driver.prepare(folder.plan(), dry=True)  # what `snakemake -n` does
    folder.write(base)
    assert folder.plan().missing(Store()) == {}


def test_activations_captured_again_are_reclaimed_again(
    folder: Any, base: Any, planned: Any
) -> None:
    plan = finish_and_reclaim(folder, base)
    condemn(Store().find(plan.items.of("train")[0].digest))  # as `verify --repair` does
    rules = Counter(rule for rule, _ in planned(folder))
    assert (rules["capture"], rules["train"], rules["reclaim"]) == (1, 1, 1)


def test_activations_that_a_transcoder_predicts_come_back_with_those_it_reads(
    folder: Any,
) -> None:
    plan = finish_and_reclaim(folder, SWEEPS["transcoders"]())
    sae = next(sae for sae in plan.items.of("train") if "targets" in sae.spec["inputs"])
    condemn(Store().find(sae.digest))
    driver.prepare(folder.plan())
    back = {i.digest for i in folder.plan().missing(Store())["capture"]}
    assert back == {sae.spec["inputs"][role] for role in ("activations", "targets")}


def test_models_that_share_saes_have_all_their_pairs_and_trees(folder: Any, base: Any) -> None:
    base["match"] = {"directions": ["width", "seed", "layer"]}
    share(widths=[64, 128])(base, None)
    folder.write(base)
    items = folder.plan().items
    assert len(items.of("train")) == 3 * 2 * 2  # widths, of which both have 64, x seeds x sites
    for model, widths in (("one", [32, 64]), ("two", [64, 128])):
        pairs = [
            (m.at["direction"], m.at["a"]["d_sae"], m.at["b"]["d_sae"])
            for m in items.of("match", model=model)
        ]
        assert Counter(pairs) == {
            ("width", *widths): 2 * 2,
            **{("seed", width, width): 2 for width in widths},
            **{("layer", width, width): 2 for width in widths},
        }
        trees = items.of("tree", model=model)
        assert Counter(tree.at.get("direction") for tree in trees) == {None: 2 * 2, "seed": 2 * 2}


def test_models_that_share_saes_show_them_both(folder: Any, base: Any) -> None:
    share(widths=[64, 128])(base, None)
    folder.write(base)
    plan = folder.finish()
    assert len(plan.items.of("corpus")) == 1
    for model, widths in (("one", {32, 64}), ("two", {64, 128})):
        top = Path("results/tiny", model)
        for name in ("model", "corpus", f"{SITES[0]}/activations", f"{SITES[0]}/concepts"):
            assert len(shown_in(top / f"{name}.json")) == 1, name
        saes = {f"topk-width{width}-sparsity4-seed{seed}" for width in widths for seed in (0, 1)}
        for name in ("saes", "evaluations", "codes", "geometry", "landscape"):
            shown = shown_in(top / SITES[0] / f"{name}.json")
            assert shown == saes, name
            assert {p.name for p in (top / SITES[0] / name).iterdir()} == saes
        assert len(shown_in(top / SITES[0] / "matches.json")) == 2 + 2
        assert len(shown_in(top / SITES[0] / "trees.json")) == 2 + 2  # of widths and of seeds
    made = [item for job in plan.jobs for item in job.items]
    assert sorted(made) == sorted(plan.items.by_digest)  # shown twice, made once


def shown_in(path: Path) -> set[str]:
    """The names of the items that a readable file shows."""
    return {item["name"] for item in json.loads(path.read_text())["items"]}


def test_results_forget_a_dropped_site_and_drafts(folder: Any, base: Any) -> None:
    folder.write(base)
    folder.finish()
    mine = Path("results/tiny/one/notes.json")
    mine.write_text("{}")
    draft = Path("results/tiny/.bundle.json.0a1b2c3d.partial")  # somebody was killed
    draft.write_text("{")
    put("models.0.sites", [SITES[0]])(base)
    folder.write(base)
    folder.finish()
    assert sorted(path.name for path in Path("results/tiny/one").glob("blocks.*")) == [SITES[0]]
    assert mine.exists() and not draft.exists()


def test_a_readable_file_that_the_sweep_lacks_is_refused(
    folder: Any, base: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    folder.write(base)
    view = workflow.SweepView(folder.plan())
    asked = {
        f"'results/tiny/one/{SITES[0]}/trees.json'": lambda: view.shown(
            SimpleNamespace(place=f"tiny/won/{SITES[0]}", target="trees")
        ),
        "'pareto'": lambda: view.picture_needs(SimpleNamespace(sweep="tiny", figure="paretto")),
    }
    for nearest, ask in asked.items():
        with pytest.raises(SystemExit):
            ask()
        assert f"did you mean {nearest}?" in capsys.readouterr().err


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
    assert len(plan.listing) == len(plan.listings)
    for listing in plan.listings:
        assert len(dict(listing.items)) == len(listing.items), listing.path


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
        ("--detailed", True),
        ("--list-untracked", True),
        ("--report x.zip --report-after-run", False),
        ("--executor dryrun", True),
        ("--config n=-n", False),
    ],
)
def test_dry_runs_are_told_from_real_ones(arguments: str, looks: bool) -> None:
    from interpsweep.options import given_options, only_looks

    assert only_looks(given_options(arguments.split())) is looks


def test_a_figure_of_nested_levels_needs_nested_levels(folder: Any, base: Any) -> None:
    for architecture, times in (("topk", 0), ("matryoshka", 1)):
        base["train"]["architectures"] = [architecture]
        folder.write(base)
        assert len(folder.plan().items.of("figures", figure="levels")) == times
    base["match"] = {"directions": ["width"]}
    folder.write(base)
    assert not folder.plan().items.of("figures", figure="levels")

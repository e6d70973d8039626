"""An item that cannot be made costs what needs it, and nothing else."""

from __future__ import annotations

import json
import sys
import types
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from interpsweep import results
from interpsweep.commands.store import collect_garbage, reclaim_activations
from interpsweep.config.load import load_sweep
from interpsweep.errors import UserError
from interpsweep.jobs import run_job
from interpsweep.plan import build_plan
from interpsweep.spec import digest
from interpsweep.stages import STAGES
from interpsweep.store import Store, failures

REASON = "the loss is not finite"


class Bench:
    """A store, and jobs of three stages: SAEs, one geometry of each, and the claims of all."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch, bank: bool) -> None:
        self.store = Store(root / "store")
        self.bad = {1}  # seeds that fail
        self.error: Exception = UserError(REASON)
        self.ran: list[tuple[str, list[int]]] = []
        for name, in_bank in (("train", bank), ("geometry", False), ("claims", False)):
            module = types.ModuleType(f"{name}_under_test")
            module.run = self._bank if in_bank else self._make  # type: ignore[attr-defined]
            monkeypatch.setitem(sys.modules, module.__name__, module)
            stage = replace(STAGES[name], module=module.__name__, bank=in_bank)
            monkeypatch.setitem(STAGES, name, stage)
        self.saes = [self._spec("train", {"seed": seed}, {}) for seed in range(3)]
        self.geometries = [self._spec("geometry", {}, {"sae": sae}) for sae in self.saes]
        index = {item: {"seed": n % 3} for n, item in enumerate([*self.saes, *self.geometries])}
        inputs = {"saes": self.saes, "geometries": self.geometries}
        self.claims = self._spec("claims", {"index": index}, inputs)

    def _spec(self, stage: str, settings: dict, inputs: dict) -> str:
        return self.store.write_spec(
            {"stage": stage, "version": 1, "settings": settings, "inputs": inputs}
        )

    def _make(self, spec: dict, inputs: dict, out: Path, ctx: Any) -> dict[str, Any]:
        seed = spec["settings"].get("seed", -1)
        self.ran.append((spec["stage"], [seed]))
        if seed in self.bad:
            raise self.error
        (out / "file").write_text(json.dumps(spec))
        return {"inputs": len(inputs.get("saes", []))}

    def _bank(self, items: list, ctx: Any) -> None:
        for item in items:
            item.publish(self._make(item.spec, item.inputs, item.out, ctx))

    def run(self, stage: str, items: list[str]) -> dict[str, Any]:
        """Run a job as its rule does; its index file."""
        job = self.store.spec_path(digest({"stage": stage, "items": items}))
        job.write_text(json.dumps({"stage": stage, "items": items, "run": {}}))
        index = self.store.root / f"{stage}.json"
        run_job(self.store, job, index)
        return json.loads(index.read_text())

    def run_all(self) -> dict[str, Any]:
        self.run("train", self.saes)
        self.run("geometry", self.geometries)
        return self.run("claims", [self.claims])

    def there(self, items: list[str]) -> list[bool]:
        return [self.store.exists(item) for item in items]


@pytest.fixture(params=["one by one", "bank"])
def bench(request: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path, monkeypatch, request.param == "bank")


@pytest.mark.parametrize("error", [UserError(REASON), ValueError(REASON)], ids=["user", "code"])
def test_what_does_not_need_it_is_made_and_what_gathers_says_so(bench: Bench, error: Any) -> None:
    bench.error = error
    index = bench.run("train", bench.saes)
    assert bench.there(bench.saes) == [True, False, True]
    assert [REASON in item.get("failed", "") for item in index["items"]] == [False, True, False]
    bench.run("geometry", bench.geometries)
    assert bench.there(bench.geometries) == [True, False, True]
    (made,) = bench.run("claims", [bench.claims])["items"]
    assert not bench.store.exists(bench.claims) and made["metrics"] == {"inputs": 2}
    spec = bench.store.manifest(made["instead"])["spec"]
    assert (
        bench.saes[1] not in spec["inputs"]["saes"]
        and bench.saes[1] not in spec["settings"]["index"]
    )
    lacks = spec["settings"]["missing"]
    assert [(one["stage"], one["item"], one["at"]) for one in lacks] == [
        ("geometry", bench.geometries[1], {"seed": 1}),
        ("train", bench.saes[1], {"seed": 1}),
    ]
    assert all(REASON in one["reason"] for one in lacks)


def test_an_item_without_places_goes_without_what_is_lost_too(bench: Bench) -> None:
    """As a recovery does without the planes of the concepts."""
    bench.run("train", bench.saes)
    wanted = {"codes": bench.saes[0], "concepts": [bench.saes[1]]}
    planned = bench._spec("recovery", {"levels": [0.0]}, wanted)
    made = failures.resolve(bench.store, planned)
    assert isinstance(made, str)
    spec = bench.store.read_spec(made)
    assert spec["inputs"] == {"codes": bench.saes[0], "concepts": []}
    assert "index" not in spec["settings"]
    assert [one["item"] for one in spec["settings"]["missing"]] == [bench.saes[1]]
    needs_it = bench._spec("recovery", {"levels": [0.0]}, {**wanted, "codes": bench.saes[1]})
    assert isinstance(failures.resolve(bench.store, needs_it), failures.Failure)


def test_the_next_run_tries_again_and_what_was_planned_is_made(bench: Bench) -> None:
    bench.run_all()
    bench.ran.clear()
    bench.run_all()
    assert ("train", [1]) in bench.ran and ("train", [0]) not in bench.ran
    bench.bad.clear()
    (made,) = bench.run_all()["items"]
    assert bench.store.exists(bench.claims) and "instead" not in made
    assert all(bench.there([*bench.saes, *bench.geometries]))
    assert failures.read(bench.store, bench.saes[1]) is None
    assert failures.read(bench.store, bench.claims) is None


def test_results_show_what_there_is_and_name_the_rest(bench: Bench, tmp_path: Path) -> None:
    bench.run_all()
    names = [[f"seed{n}", item] for n, item in enumerate(bench.geometries)]
    listing = bench.store.write_spec({"listing": "geometry", "items": names})
    results.show(bench.store, listing, tmp_path / "geometry.json")
    shown = json.loads((tmp_path / "geometry.json").read_text())
    assert [item["name"] for item in shown["items"]] == ["seed0", "seed2"]
    assert [(one["name"], one["reason"]) for one in shown["missing"]] == [("seed1", REASON)]
    assert sorted(p.name for p in (tmp_path / "geometry").iterdir()) == ["seed0", "seed2"]
    assert results.current(tmp_path / "geometry.json") not in ("", listing)


def test_nothing_is_gathered_from_nothing(bench: Bench) -> None:
    bench.bad = {0, 1, 2}
    (made,) = bench.run_all()["items"]
    assert made["failed"] == REASON and not any(r[0] == "claims" for r in bench.ran)


def test_the_machine_is_no_fault_of_an_item(bench: Bench) -> None:
    bench.error = OSError(5, "a disk that answers no more")
    with pytest.raises(OSError):
        bench.run("train", bench.saes)
    assert failures.read(bench.store, bench.saes[1]) is None


def test_by_hand_it_is_an_error(bench: Bench) -> None:
    job = bench.store.spec_path(digest({"stage": "train", "items": bench.saes}))
    job.write_text(json.dumps({"stage": "train", "items": bench.saes, "run": {}}))
    with pytest.raises(UserError, match=REASON):
        run_job(bench.store, job)
    assert bench.there(bench.saes) == [True, False, True]


def test_garbage_collection_knows_what_stands_in(bench: Bench) -> None:
    (made,) = bench.run_all()["items"]
    roots = bench.store.registered("sweep")
    roots.parent.mkdir()
    roots.write_text(json.dumps({"items": [*bench.saes, *bench.geometries, bench.claims]}))
    collect_garbage(delete=True, grace_days=-1, store=bench.store)
    assert bench.store.exists(made["instead"])
    bench.bad.clear()
    bench.run_all()
    collect_garbage(delete=True, grace_days=-1, store=bench.store)
    assert not bench.store.exists(made["instead"]) and bench.store.exists(bench.claims)


def test_activations_stay_for_what_is_to_be_tried_again(bench: Bench, tmp_path: Path) -> None:
    bench.run("train", bench.saes)
    readers, record = [bench.store.root / "train.json"], tmp_path / "record.json"
    with pytest.raises(UserError, match="tried again"):
        reclaim_activations(bench.saes[0], record, bench.store, readers)
    assert (bench.store.find(bench.saes[0]) / "file").exists() and not record.exists()
    bench.bad.clear()
    bench.run("train", bench.saes)
    reclaim_activations(bench.saes[0], record, bench.store, readers)
    assert record.exists() and not (bench.store.find(bench.saes[0]) / "file").exists()


@pytest.mark.parametrize("lost", [16, 32, 64, 128])
def test_the_tree_without_a_width_is_that_of_a_sweep_without_it(tmp_path: Path, lost: int) -> None:
    widths = [16, 32, 64, 128]
    (tree, sweep), (wanted, _) = (
        _tree(tmp_path, of) for of in (widths, [w for w in widths if w != lost])
    )
    named = {item.digest for item in sweep.items.by_digest.values() if item.at.get("d_sae") == lost}
    named |= {
        item.digest
        for item in sweep.items.by_digest.values()
        if lost in [item.at.get(side, {}).get("d_sae") for side in ("a", "b")]
    }
    gathers = STAGES["tree"].gathers
    assert callable(gathers)
    assert gathers(tree, named) == wanted


def test_widths_that_are_not_matched_make_no_tree(tmp_path: Path) -> None:
    gathers = STAGES["tree"].gathers
    tree, _ = _tree(tmp_path, [16, 32, 64], skip_levels=0)
    assert callable(gathers)
    assert gathers(tree, {tree["inputs"]["saes"][1]}) is None  # 16 and 64 were never compared
    two = gathers(tree, {tree["inputs"]["codes"][2]})
    assert two is not None and two["inputs"]["matches"] == tree["inputs"]["matches"][:1]


def _tree(folder: Path, widths: list[int], skip_levels: int = 3) -> tuple[Any, Any]:
    """The spec of the one family's tree in a sweep over `widths`, and the plan."""
    config = folder / f"{len(widths)}.yaml"
    config.write_text(f"""
sweep: ladder
models:
  - {{name: w, source: world, world: {{kind: tree}}, sites: [blocks.0.hook_resid_post]}}
corpus: {{source: generated, n_tokens: 2000}}
train: {{widths: {widths}, sparsities: [4], seeds: [0], tokens: 1000}}
match: {{directions: [width], skip_levels: {skip_levels}}}
""")
    plan = build_plan(load_sweep([config]), {})
    (tree,) = plan.items.of("tree", direction=None)
    return tree.spec, plan


def test_a_stage_that_goes_without_nothing_reads_what_stands_in(bench: Bench) -> None:
    bench.run_all()
    reader = bench._spec("geometry", {}, {"claims": bench.claims})
    found = failures.resolve(bench.store, reader)
    stands_in = failures.present(bench.store, bench.claims)
    assert isinstance(found, str) and stands_in not in ("", bench.claims)
    assert bench.store.read_spec(found)["inputs"] == {"claims": stands_in}

"""Looking at a sweep: plan, status, explain."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from interpsweep import driver
from interpsweep.commands.forecast import quota, show_costs
from interpsweep.commands.incomplete import incomplete
from interpsweep.commands.progress import running_jobs
from interpsweep.config.corpora import ActivationsCorpus, GeneratedCorpus
from interpsweep.config.models import ActivationsModel, HubModel, PathModel
from interpsweep.errors import UserError
from interpsweep.lock import model_folder, stored_about
from interpsweep.plan import Plan
from interpsweep.plan.build import there
from interpsweep.plan.estimate import Cost, estimate, free_bytes
from interpsweep.plan.items import PlannedItem
from interpsweep.plan.jobs import readable_name
from interpsweep.profiles import Profile
from interpsweep.spec import DIGEST_IN_NAME, Spec, difference
from interpsweep.stages import STAGES
from interpsweep.store import Store, failures
from interpsweep.store.layout import MANIFEST


def show_plan(configs: list[Path], profile: Profile) -> None:
    """Print what a sweep means and what is left of it to do."""
    plan, store, console = driver.plan_sweep(configs), Store(), Console()
    costs = estimate(plan, store)
    table = Table(title=f"Sweep {plan.sweep.sweep}", title_justify="left")
    for name in ("stage", "items", "exist", "jobs", "tokens", "disk", "FLOP"):
        table.add_column(name, justify="left" if name == "stage" else "right")
    there = driver.existing(plan, store)
    to_run = [job for job in plan.jobs if not all(item in there for item in job.items)]
    for stage in STAGES:
        if stage in costs:
            table.add_row(stage, *_row(costs[stage], sum(job.stage == stage for job in to_run)))
    console.print(table)
    show_costs(plan, store, to_run, profile, console)
    size, free = sum(c.bytes for c in costs.values()), free_bytes(store.root)
    console.print(f"disk: about {size / 1e9:,.2f} GB to write, {free / 1e9:,.0f} GB free")
    for line in quota(store.root):
        console.print(f"quota: {line}", highlight=False, markup=False)
    if size > free:
        console.print("[bold red]this does not fit on the disk[/]")
    for line in _contexts(plan, store):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _contexts(plan: Plan, store: Store) -> Iterator[str]:
    """How the texts of each model from outside become contexts, as far as its files are here."""
    for model in plan.sweep.models:
        settings = plan.sweep.sections(model.name).corpus
        if isinstance(model, ActivationsModel):
            rows, marks = stored_about(model, plan.lock)["rows"], list(model.marks)
            yield f"contexts of {model.name}: as they are in {model.path} ({rows:,} rows)"
            yield f"  marks, which are not used: {marks or 'none named'}"
            continue
        if not isinstance(model, PathModel | HubModel):
            continue
        assert not isinstance(settings, GeneratedCorpus | ActivationsCorpus)
        made = plan.items.of("model", model=model.name)  # a checkpoint out of a GGUF file
        if made:
            folder = store.root / made[0].place if there(store, made[0]) else None
        else:
            folder = model_folder(model, plan.lock)
        if folder is None:
            yield f"contexts of {model.name}: their marks are known once its files are here"
            continue
        from interpsweep.corpora.tokenizer import Tokenizer  # reads the vocabulary

        tokenizer = Tokenizer(folder, settings.prepend_bos)
        yield (
            f"contexts of {model.name}: {tokenizer.marks}; special tokens written out in texts: "
            f"as {settings.special_tokens}"
        )
        yield from (f"  {note}" for note in tokenizer.notes)


def _row(cost: Cost, jobs: int) -> list[str]:
    """Table cells; empty where nothing is left to do."""
    cells = [f"{cost.items:,}", f"{cost.existing:,}", f"{jobs:,}"]
    cells.append(f"{cost.tokens:,}" if cost.tokens else "")
    cells.append(f"{cost.bytes / 1e6:,.1f} MB" if cost.bytes else "")
    cells.append(f"{cost.flop:.1e}" if cost.flop else "")
    return cells


def show_status(configs: list[Path]) -> None:
    """Print what of a sweep is done, running, missing and stale."""
    plan, store, console = driver.plan_sweep(configs), Store(), Console()
    there = driver.existing(plan, store)
    table = Table(title=f"Sweep {plan.sweep.sweep}", title_justify="left")
    for name in ("stage", "done", "missing", "running"):
        table.add_column(name, justify="left" if name in ("stage", "running") else "right")
    running = running_jobs(plan, store)
    for stage in STAGES:
        items = plan.items.of(stage)
        if items:
            done = sum(item.digest in there for item in items)
            table.add_row(
                stage, str(done), str(len(items) - done), "; ".join(running.get(stage, []))
            )
    console.print(table)
    for line in incomplete(plan, store):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    stale = _stale(plan, store)
    if stale:
        console.print(f"{len(stale)} items in the store are of earlier settings of this sweep")
    console.print(
        "complete: nothing to do"
        if len(there) == len(plan.items.by_digest)
        else "`interpsweep run` makes what is missing"
    )


def _stale(plan: Plan, store: Store) -> set[str]:
    """Items that the last run of this sweep wanted and the configuration no longer does."""
    root = store.registered(plan.sweep.sweep)
    if not root.exists():
        return set()
    return set(json.loads(root.read_text())["items"]) - set(plan.items.by_digest)


def explain_item(name: str, configs: list[Path]) -> None:
    """Print an item's spec, and its difference to the nearest item that exists."""
    plan, store = driver.plan_sweep(configs), Store()
    item = _find(name, plan)
    path = store.path(item.spec, item.digest)
    where = ", ".join(f"{key} {value}" for key, value in item.at.items() if key not in ("a", "b"))
    print(f"{readable_name(item)} ({where})\n{path}")
    if (path / MANIFEST).exists():
        print("exists; nothing would be redone")
        return
    failure = failures.read(store, item.digest)
    if failure is not None and failure.reason:
        print(f"could not be made: {failure.reason}")
    near = _nearest(item, store, plan)
    if near is None:
        print(f"missing; the store has no other item of stage {item.stage} to compare it with")
        return
    folder, old = near
    print(f"missing; nearest item that exists: {folder}")
    for key, before, now in _expanded(old, item.spec, store, plan):
        print(f"  {key}: {before!r} -> {now!r}")


def _find(name: str, plan: Plan) -> PlannedItem:
    wanted = Path(name).name.rsplit("-", 1)[-1] if "/" in name or "-" in name else name
    found = [i for d, i in plan.items.by_digest.items() if d.startswith(wanted)]
    found = found or [i for i in plan.items.by_digest.values() if readable_name(i) == name]
    if len(found) != 1:
        many = "fits several items" if found else "is no item of this sweep"
        raise UserError(f"{name}: {many}; results/{plan.sweep.sweep}/ lists them with digests")
    return found[0]


def _nearest(item: PlannedItem, store: Store, plan: Plan) -> tuple[Path, Spec] | None:
    """The existing item of the same stage that differs in the fewest settings, its inputs' too."""
    best: tuple[int, Path, Spec] | None = None
    for manifest in sorted((store.root / STAGES[item.stage].kind).glob(f"*/{MANIFEST}")):
        spec = json.loads(manifest.read_text(encoding="utf-8"))["spec"]
        count = len(_expanded(spec, item.spec, store, plan))
        if best is None or count < best[0]:
            best = (count, manifest.parent, spec)
    return None if best is None else best[1:]


def _expanded(
    old: Spec, new: Spec, store: Store, plan: Plan, prefix: str = ""
) -> list[tuple[str, Any, Any]]:
    """Differences key by key; a changed input is followed to the settings that changed it."""
    found = []
    for key, before, now in difference(old, new):
        upstream = plan.items.by_digest.get(now) if isinstance(now, str) else None
        if key.startswith("inputs.") and upstream and store.spec_path(str(before)).exists():
            found += _expanded(
                store.read_spec(before), upstream.spec, store, plan, f"{prefix}{key} > "
            )
        else:
            found.append((prefix + key, _short(before), _short(now)))
    return found


def _short(value: Any) -> Any:
    if isinstance(value, str) and len(value) == 64:
        return value[:DIGEST_IN_NAME]
    return value

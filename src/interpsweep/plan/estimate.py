"""What a plan will cost, the sum of the work of its items: estimates, not promises."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interpsweep.config.models import is_gguf
from interpsweep.errors import UserError
from interpsweep.lock import model_of, stored_about, weights_to_convert
from interpsweep.models.identity import resolve_path
from interpsweep.plan.build import Plan
from interpsweep.plan.items import PlannedItem
from interpsweep.spec import digest
from interpsweep.stages import STAGES
from interpsweep.stages.sizes import Shape, Sizes, Work
from interpsweep.store import Store


@dataclass
class Cost:
    """Of one stage: items, how many exist, and what the missing ones will take."""

    items: int = 0
    existing: int = 0
    tokens: int = 0
    bytes: int = 0
    flop: float = 0.0
    seconds: float = 0.0  # of one core, for what is no matrix product


def estimate(plan: Plan, store: Store) -> dict[str, Cost]:
    """The cost of every stage of a plan, for what `store` does not hold yet."""
    missing = {item.digest for found in plan.missing(store).values() for item in found}
    shapes = model_shapes(plan, store)
    costs: dict[str, Cost] = {}
    for job in plan.jobs:
        cost = costs.setdefault(job.stage, Cost())
        members = plan.members(job)
        to_do = [item for item in members if item.digest in missing]
        cost.items += len(members)
        cost.existing += len(members) - len(to_do)
        work = job_work(plan, to_do, shapes)
        cost.tokens += work.tokens
        cost.bytes += work.bytes
        cost.flop += work.flop
        cost.seconds += work.seconds
    return costs


def job_work(plan: Plan, items: list[PlannedItem], shapes: dict[str, Shape]) -> Work:
    """What a job takes to make some of its items, all of one stage."""
    if not items:
        return Work()
    stage = STAGES[items[0].stage]
    found = [stage.work(sizes_of(plan, item, shapes)) for item in items]
    tokens = [work.tokens for work in found]
    flop = [work.flop for work in found]
    return Work(
        tokens=tokens[0] if stage.one_pass else sum(tokens),
        bytes=sum(work.bytes for work in found),
        flop=max(flop) if stage.one_pass else sum(flop),
        seconds=sum(work.seconds for work in found),
    )


def sizes_of(plan: Plan, item: PlannedItem, shapes: dict[str, Shape]) -> Sizes:
    """What the work and memory of an item are told from."""
    shape = shapes.get(item.at.get("model", ""), Shape())
    return Sizes(item, plan.items.by_digest, shape, plan.sweep.run.workers)


def model_shapes(plan: Plan, store: Store) -> dict[str, Shape]:
    """The shape of every model of a sweep, by name."""
    return {model.name: model_shape(model, plan, store) for model in plan.sweep.models}


def model_shape(model: Any, plan: Plan, store: Store) -> Shape:
    """Width, parameter count and vocabulary of a model, as far as they are known.

    Of a model from outside: once it was checked, its widest site for the width. Before that, a
    rough count from the configuration of a checkpoint, and nothing of a hub model.
    """
    if model.source == "trained":
        a = model.architecture
        return Shape(a.d_model, a.n_layers * (4 * a.d_model**2 + 2 * a.d_model * a.d_mlp))
    if model.source == "world":
        return Shape(model.world.d)
    if model.source == "activations":
        return Shape(max(stored_about(model, plan.lock)["widths"].values()))
    answer = question_path(model_question(model, plan.lock), store)
    if answer.exists():
        known = json.loads(answer.read_text(encoding="utf-8"))
        if "parameters" in known:
            return Shape(max(known["widths"].values()), known["parameters"], known["vocabulary"])
    if model.source == "path" and is_gguf(model.path):
        return _gguf_shape(model.path)
    if model.source == "path":
        try:
            config = json.loads((resolve_path(model.path) / "config.json").read_text())
        except (OSError, json.JSONDecodeError):
            return Shape()
        width = config.get("hidden_size") or config.get("n_embd") or 0
        layers = config.get("num_hidden_layers") or config.get("n_layer") or 0
        return Shape(width, 12 * layers * width**2, config.get("vocab_size") or 0)
    return Shape()


def _gguf_shape(path: str) -> Shape:
    from interpsweep.models.gguf import look

    try:
        found = look(resolve_path(path))
    except UserError:  # it may be gone once it was used
        return Shape()
    return Shape(found.d_model, 12 * found.n_layers * found.d_model**2, found.vocabulary)


def model_question(model: Any, lock: dict[str, str]) -> dict[str, Any]:
    """What the check of a model's sites depends on."""
    return {
        "name": model.name,
        "model": model_of(model, lock),
        "architecture": model.architecture.identity() if model.source == "trained" else None,
        "sites": list(model.site_names),
        **({"width": model.world.d} if model.source == "world" else {}),
        **(stored_about(model, lock) if model.source == "activations" else {}),
        **({} if (weights := weights_to_convert(model, lock)) is None else {"weights": weights}),
    }


def question_path(question: dict[str, Any], store: Store) -> Path:
    """Where the answer to a question about a model is kept."""
    return store.root / ".preflight" / f"{digest(question)}.json"


def free_bytes(folder: Path) -> int:
    """Bytes free on the disk that holds `folder` (or its nearest existing parent)."""
    import shutil

    while not folder.exists():
        folder = folder.absolute().parent
    return shutil.disk_usage(folder).free

"""What a plan will cost: tokens, bytes on disk, floating-point operations. Estimates, not promises.

Arithmetic: a forward pass costs 2 FLOP per parameter and token, a training step three times that;
an SAE costs 12 * d_in * d_sae FLOP per token to train (forward 4, backward 8) and 4 to encode.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interpsweep.config.saes import TrainSettings
from interpsweep.lock import model_of
from interpsweep.models.identity import resolve_path
from interpsweep.plan.build import Plan
from interpsweep.plan.items import PlannedItem
from interpsweep.spec import digest
from interpsweep.store import Store

_BYTES = {"float16": 2, "bfloat16": 2, "float32": 4}
_CODE_BYTES = 8  # a column index and a value
_TYPICAL_L0 = 50  # active latents per token, where the sparsity is not a count


@dataclass(frozen=True)
class Shape:
    """Size of a model as far as its configuration tells it; zeros where it does not."""

    d_model: int = 0
    parameters: int = 0


@dataclass
class Cost:
    """Of one stage: items, how many exist, and what the missing ones will take."""

    items: int = 0
    existing: int = 0
    tokens: int = 0
    bytes: int = 0
    flop: float = 0.0


def estimate(plan: Plan, store: Store) -> dict[str, Cost]:
    """The cost of every stage of a plan, for what `store` does not hold yet."""
    missing = {item.digest for found in plan.missing(store).values() for item in found}
    shapes = {model.name: model_shape(model, plan, store) for model in plan.sweep.models}
    costs: dict[str, Cost] = {}
    for item in plan.items.by_digest.values():
        cost = costs.setdefault(item.stage, Cost())
        cost.items += 1
        if item.digest not in missing:
            cost.existing += 1
            continue
        tokens, size, flop = _item_cost(plan, item, shapes.get(item.at.get("model", ""), Shape()))
        cost.tokens += tokens
        cost.bytes += size
        cost.flop += flop
    return costs


def model_shape(model: Any, plan: Plan, store: Store) -> Shape:
    """Width and rough parameter count of a model, from its configuration.

    Of a hub model, once it was checked: its widest site (its parameters stay unknown).
    """
    if model.source == "trained":
        a = model.architecture
        return Shape(a.d_model, a.n_layers * (4 * a.d_model**2 + 2 * a.d_model * a.d_mlp))
    if model.source == "path":
        try:
            config = json.loads((resolve_path(model.path) / "config.json").read_text())
        except (OSError, json.JSONDecodeError):
            return Shape()
        width = config.get("hidden_size") or config.get("n_embd") or 0
        layers = config.get("num_hidden_layers") or config.get("n_layer") or 0
        return Shape(width, 12 * layers * width**2)
    answer = question_path(model_question(model, plan.lock), store)
    if answer.exists():
        return Shape(max(json.loads(answer.read_text(encoding="utf-8"))["widths"].values()))
    return Shape()


def model_question(model: Any, lock: dict[str, str]) -> dict[str, Any]:
    """What the check of a model's sites depends on."""
    return {
        "name": model.name,
        "model": model_of(model, lock),
        "architecture": model.architecture.identity() if model.source == "trained" else None,
        "sites": list(model.site_names),
    }


def question_path(question: dict[str, Any], store: Store) -> Path:
    """Where the answer to a question about a model is kept."""
    return store.root / ".preflight" / f"{digest(question)}.json"


def _item_cost(plan: Plan, item: PlannedItem, shape: Shape) -> tuple[int, int, float]:
    """(tokens, bytes, FLOP) of one item."""
    settings = item.spec["settings"]
    corpus = plan.items.by_digest.get(item.spec["inputs"].get("corpus", item.digest))
    tokens = corpus.spec["settings"].get("n_tokens", 0) if corpus else 0
    if item.stage == "model":
        training = settings["training"]
        seen = training["steps"] * training["batch_size"] * settings["architecture"]["n_ctx"]
        return seen, 4 * shape.parameters, 6.0 * shape.parameters * seen
    if item.stage == "corpus":
        return tokens, 8 * tokens, 0.0
    if item.stage == "capture":
        size = tokens * (shape.d_model * _BYTES[settings["dtype"]] + 16)
        return tokens, size, 2.0 * shape.parameters * tokens
    if item.stage == "train":
        seen, cells = settings["tokens"], shape.d_model * settings["d_sae"]
        return seen, 8 * cells, 12.0 * cells * seen
    if item.stage == "import":
        return 0, 8 * shape.d_model * settings["d_sae"], 0.0
    if item.stage == "encode":
        made = plan.items.by_digest[item.spec["inputs"]["sae"]]
        sae = made.spec["settings"]
        counts = made.stage == "import" or TrainSettings(**sae).counts_latents
        l0 = sae["sparsity"] if counts else _TYPICAL_L0
        read = int(tokens * corpus.spec["settings"]["analysis_share"]) if corpus else 0
        return read, int(read * l0 * _CODE_BYTES), 4.0 * shape.d_model * sae["d_sae"] * read
    return 0, 0, 0.0


def free_bytes(folder: Path) -> int:
    """Bytes free on the disk that holds `folder` (or its nearest existing parent)."""
    import shutil

    while not folder.exists():
        folder = folder.absolute().parent
    return shutil.disk_usage(folder).free

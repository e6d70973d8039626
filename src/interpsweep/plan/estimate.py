"""What a plan will cost: tokens, bytes on disk, floating-point operations. Estimates, not promises.

Arithmetic: a forward pass costs 2 FLOP per parameter and token, a training step three times that;
an SAE costs 12 * d_in * d_sae FLOP per token to train (forward 4, backward 8) and 4 to encode.
What is no matrix product (matching, trees, the census, the overhead of a step) is given in seconds
of one processor core; its factors were measured on sweeps over MiniLM and over the default model.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interpsweep.config.saes import TrainSettings
from interpsweep.lock import model_of
from interpsweep.models.identity import resolve_path
from interpsweep.plan.build import Plan, input_digests
from interpsweep.plan.items import PlannedItem
from interpsweep.plan.saes import SAES
from interpsweep.spec import digest
from interpsweep.store import Store

BYTES = {"float16": 2, "bfloat16": 2, "float32": 4}
CODE_BYTES = 8  # a column index and a value
TYPICAL_L0 = 50  # active latents per token, where the sparsity is not a count


@dataclass(frozen=True)
class Shape:
    """Size of a model as far as its configuration tells it; zeros where it does not."""

    d_model: int = 0
    parameters: int = 0
    vocabulary: int = 0


@dataclass
class Cost:
    """Of one stage: items, how many exist, and what the missing ones will take."""

    items: int = 0
    existing: int = 0
    tokens: int = 0
    bytes: int = 0
    flop: float = 0.0
    seconds: float = 0.0  # of one core, for what is no matrix product


@dataclass(frozen=True)
class Work:
    """What one item takes."""

    tokens: int = 0
    bytes: int = 0
    flop: float = 0.0
    seconds: float = 0.0


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
    """What a job takes to make some of its items."""
    found = [item_work(plan, item, shape_of(item, shapes)) for item in items]
    if items and items[0].stage == "capture":  # one forward pass for all sites
        size = sum(work.bytes for work in found)
        seconds = sum(work.seconds for work in found)
        return Work(found[0].tokens, size, max(work.flop for work in found), seconds)
    return Work(
        tokens=sum(work.tokens for work in found),
        bytes=sum(work.bytes for work in found),
        flop=sum(work.flop for work in found),
        seconds=sum(work.seconds for work in found),
    )


def shape_of(item: PlannedItem, shapes: dict[str, Shape]) -> Shape:
    """The shape of the model that an item is about."""
    return shapes.get(item.at.get("model", ""), Shape())


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
    answer = question_path(model_question(model, plan.lock), store)
    if answer.exists():
        known = json.loads(answer.read_text(encoding="utf-8"))
        if "parameters" in known:
            return Shape(max(known["widths"].values()), known["parameters"], known["vocabulary"])
    if model.source == "path":
        try:
            config = json.loads((resolve_path(model.path) / "config.json").read_text())
        except (OSError, json.JSONDecodeError):
            return Shape()
        width = config.get("hidden_size") or config.get("n_embd") or 0
        layers = config.get("num_hidden_layers") or config.get("n_layer") or 0
        return Shape(width, 12 * layers * width**2, config.get("vocab_size") or 0)
    return Shape()


def model_question(model: Any, lock: dict[str, str]) -> dict[str, Any]:
    """What the check of a model's sites depends on."""
    return {
        "name": model.name,
        "model": model_of(model, lock),
        "architecture": model.architecture.identity() if model.source == "trained" else None,
        "sites": list(model.site_names),
        **({"width": model.world.d} if model.source == "world" else {}),
    }


def question_path(question: dict[str, Any], store: Store) -> Path:
    """Where the answer to a question about a model is kept."""
    return store.root / ".preflight" / f"{digest(question)}.json"


def item_work(plan: Plan, item: PlannedItem, shape: Shape) -> Work:
    """What one item takes."""
    settings = item.spec["settings"]
    if item.stage == "model":
        training = settings["training"]
        seen = training["steps"] * training["batch_size"] * settings["architecture"]["n_ctx"]
        flop = 6.0 * shape.parameters * seen
        return Work(seen, 4 * shape.parameters, flop, 1e-2 * training["steps"])
    tokens = corpus_settings(plan, item).get("n_tokens", 0)
    if item.stage == "corpus":
        return Work(tokens, 8 * tokens, seconds=2e-5 * tokens)
    if item.stage == "capture":
        size = tokens * (shape.d_model * BYTES[settings["dtype"]] + 16)
        return Work(tokens, size, 2.0 * shape.parameters * tokens, 1.5e-5 * tokens)
    if item.stage == "train":
        seen, cells = settings["tokens"], shape.d_model * settings["d_sae"]
        steps = seen / settings["batch_size"]
        return Work(seen, 8 * cells, 12.0 * cells * seen, 3e-3 * steps)
    if item.stage == "import":
        return Work(bytes=8 * shape.d_model * settings["d_sae"], seconds=60.0)
    if item.stage == "evaluate":
        return _evaluation(plan, item, shape)
    return _analysis(plan, item, shape)


def _evaluation(plan: Plan, item: PlannedItem, shape: Shape) -> Work:
    corpus = corpus_settings(plan, item)
    held_out = int(corpus.get("n_tokens", 0) * corpus.get("eval_share", 0))
    passes = item.spec["settings"]["contexts"] * corpus.get("context_length", 0)
    cells = shape.d_model * width_of(plan, item)
    # one pass with the reconstruction, and a share of the clean and the ablated pass
    flop = 6.0 * shape.parameters * passes + 4.0 * cells * (held_out + passes)
    return Work(held_out, 0, flop, 2.0)


def _analysis(plan: Plan, item: PlannedItem, shape: Shape) -> Work:
    """Stages that read codes or tables; factors in seconds as measured."""
    saes = saes_behind(plan, item)
    if not saes:  # concepts, claims, figures, report, bundle
        return Work(seconds=3.0 + 0.2 * len(input_digests(item.spec)))
    if item.stage == "meta":  # trained twice, the null too
        s = item.spec["settings"]
        cells = shape.d_model * s["share"] * width_of(plan, item)
        seen = 2 * s["steps"] * s["batch_size"]
        return Work(bytes=int(8 * cells), flop=12.0 * cells * seen, seconds=6e-3 * s["steps"])
    rows, l0 = analysis_rows(plan, item), max(map(active, saes))
    widths = [d_sae(sae) for sae in saes]
    width = sum(widths)
    if item.stage == "encode":
        return Work(rows, int(rows * l0 * CODE_BYTES), 4.0 * shape.d_model * width * rows)
    if item.stage == "match":
        products = 1 + 4 * item.spec["settings"]["null_draws"]
        flop = 2.0 * shape.d_model * math.prod(widths) * products
        return Work(flop=flop, seconds=1e-7 * rows * l0**2 + 5e-3 * width)
    if item.stage == "tree":
        return Work(seconds=2e-8 * rows * l0**2 * len(saes) + 1e-3 * width)
    if item.stage == "probe":  # a sparse probe for each of about 30 values, and of the null
        s = item.spec["settings"]
        seconds = 4e-5 * min(s["tokens"], rows) * (30 + 4 * s["draws"])
        if "ablation" not in s["methods"]:
            return Work(seconds=seconds)
        flop = 0.0
        if "later_site" in s:  # at most; a forward pass and a gradient, each through all of it
            passes = (30 + s["draws"]) * s["ablated"] * s["steps"]
            length = corpus_settings(plan, item).get("context_length", 0)
            flop = 4.0 * shape.parameters * passes * length
        # probes of the random concepts, at two sites
        return Work(flop=flop, seconds=2 * seconds)
    if item.stage == "landscape":
        seconds = _landscape_seconds(item.spec["settings"], width, shape.d_model)
        return Work(seconds=1e-6 * rows * l0 + seconds)
    return Work(flop=4.0 * width**2 * shape.d_model, seconds=3e-6 * rows * l0 + 0.03 * width)


def _landscape_seconds(settings: dict[str, Any], width: int, d_in: int) -> float:
    """Permutations of pairs, and as many random dictionaries as are drawn."""
    pairs = min(settings["latents"], width) ** 2
    dictionary = 1e-9 * width * d_in**2 + 2e-9 * d_in**3 + 5e-10 * pairs * d_in
    return 3.0 + 3e-8 * settings["draws"] * pairs + settings["dictionaries"] * dictionary


def corpus_settings(plan: Plan, item: PlannedItem) -> dict[str, Any]:
    """The settings of the corpus behind an item: its own, its input's, or its activations'."""
    if item.stage == "corpus":
        return item.spec["settings"]
    inputs = item.spec["inputs"]
    if "corpus" not in inputs and "activations" in inputs:
        inputs = plan.items.by_digest[inputs["activations"]].spec["inputs"]
    corpus = plan.items.by_digest.get(inputs.get("corpus", ""))
    return corpus.spec["settings"] if corpus else {}


def saes_behind(plan: Plan, item: PlannedItem) -> list[PlannedItem]:
    """The SAEs that an item is about: itself, or its inputs."""
    if item.stage in SAES:
        return [item]
    inputs = item.spec["inputs"]
    found = inputs["saes"] if item.stage == "tree" else [inputs.get(r) for r in ("sae", "a", "b")]
    return [plan.items.by_digest[digest] for digest in found if digest]


def d_sae(sae: PlannedItem) -> int:
    """Latents of an SAE."""
    return int(sae.spec["settings"]["d_sae"])


def width_of(plan: Plan, item: PlannedItem) -> int:
    """Latents of all SAEs that an item is about, together."""
    return sum(d_sae(sae) for sae in saes_behind(plan, item))


def active(sae: PlannedItem) -> float:
    """Active latents per token, as far as the settings tell."""
    settings = sae.spec["settings"]
    counts = sae.stage == "import" or TrainSettings(**settings).counts_latents
    return settings["sparsity"] if counts else TYPICAL_L0


def analysis_rows(plan: Plan, item: PlannedItem) -> int:
    """Rows of the analysis split behind an item (at most: special tokens are not counted out)."""
    corpus = corpus_settings(plan, item)
    return int(corpus.get("n_tokens", 0) * corpus.get("analysis_share", 0))


def free_bytes(folder: Path) -> int:
    """Bytes free on the disk that holds `folder` (or its nearest existing parent)."""
    import shutil

    while not folder.exists():
        folder = folder.absolute().parent
    return shutil.disk_usage(folder).free

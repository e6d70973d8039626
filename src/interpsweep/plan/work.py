"""What one item of each stage takes: tokens, bytes, floating-point operations and seconds.

Arithmetic: a forward pass costs 2 FLOP per parameter and token, a training step three times that;
an SAE costs 12 * d_in * d_sae FLOP per token to train (forward 4, backward 8) and 4 to encode.
What is no matrix product (matching, trees, the census, the overhead of a step) is given in seconds
of one processor core; its factors were measured on sweeps over MiniLM and over the default model.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from interpsweep.config.saes import TrainSettings
from interpsweep.plan.build import Plan, input_digests
from interpsweep.plan.items import PlannedItem
from interpsweep.plan.saes import SAES

BYTES = {"float16": 2, "bfloat16": 2, "float32": 4}
CODE_BYTES = 8  # a column index and a value
TYPICAL_L0 = 50  # active latents per token, where the sparsity is not a count
PROBED = 30  # values that are probed, about


@dataclass(frozen=True)
class Shape:
    """Size of a model as far as its configuration tells it; zeros where it does not."""

    d_model: int = 0
    parameters: int = 0
    vocabulary: int = 0


@dataclass(frozen=True)
class Work:
    """What one item takes; the seconds are those of one core, for what is no matrix product."""

    tokens: int = 0
    bytes: int = 0
    flop: float = 0.0
    seconds: float = 0.0


def item_work(plan: Plan, item: PlannedItem, shape: Shape) -> Work:
    """What one item takes; `shape` is that of its model."""
    return _OF_STAGE.get(item.stage, _small)(plan, item, shape)


def _model(plan: Plan, item: PlannedItem, shape: Shape) -> Work:
    settings = item.spec["settings"]
    training = settings["training"]
    seen = training["steps"] * training["batch_size"] * settings["architecture"]["n_ctx"]
    flop = 6.0 * shape.parameters * seen
    return Work(seen, 4 * shape.parameters, flop, 1e-2 * training["steps"])


def _corpus(plan: Plan, item: PlannedItem, shape: Shape) -> Work:
    tokens = corpus_settings(plan, item).get("n_tokens", 0)
    return Work(tokens, 8 * tokens, seconds=2e-5 * tokens)


def _capture(plan: Plan, item: PlannedItem, shape: Shape) -> Work:
    tokens = corpus_settings(plan, item).get("n_tokens", 0)
    size = tokens * (shape.d_model * BYTES[item.spec["settings"]["dtype"]] + 16)
    return Work(tokens, size, 2.0 * shape.parameters * tokens, 1.5e-5 * tokens)


def _train(plan: Plan, item: PlannedItem, shape: Shape) -> Work:
    settings = item.spec["settings"]
    seen, cells = settings["tokens"], shape.d_model * settings["d_sae"]
    steps = seen / settings["batch_size"]
    return Work(seen, 8 * cells, 12.0 * cells * seen, 3e-3 * steps)


def _import(plan: Plan, item: PlannedItem, shape: Shape) -> Work:
    return Work(bytes=8 * shape.d_model * item.spec["settings"]["d_sae"], seconds=60.0)


def _evaluate(plan: Plan, item: PlannedItem, shape: Shape) -> Work:
    corpus = corpus_settings(plan, item)
    held_out = int(corpus.get("n_tokens", 0) * corpus.get("eval_share", 0))
    passes = item.spec["settings"]["contexts"] * corpus.get("context_length", 0)
    cells = shape.d_model * width_of(plan, item)
    # one pass with the reconstruction, and a share of the clean and the ablated pass
    flop = 6.0 * shape.parameters * passes + 4.0 * cells * (held_out + passes)
    return Work(held_out, 0, flop, 2.0)


def _encode(plan: Plan, item: PlannedItem, shape: Shape) -> Work:
    rows, l0 = analysis_rows(plan, item), _l0(plan, item)
    flop = 4.0 * shape.d_model * width_of(plan, item) * rows
    return Work(rows, int(rows * l0 * CODE_BYTES), flop)


def _match(plan: Plan, item: PlannedItem, shape: Shape) -> Work:
    widths = [d_sae(sae) for sae in saes_behind(plan, item)]
    products = 1 + 4 * item.spec["settings"]["null_draws"]
    flop = 2.0 * shape.d_model * math.prod(widths) * products
    seconds = 1e-7 * analysis_rows(plan, item) * _l0(plan, item) ** 2 + 5e-3 * sum(widths)
    return Work(flop=flop, seconds=seconds)


def _tree(plan: Plan, item: PlannedItem, shape: Shape) -> Work:
    saes = saes_behind(plan, item)
    pairs = analysis_rows(plan, item) * _l0(plan, item) ** 2 * len(saes)
    return Work(seconds=2e-8 * pairs + 1e-3 * width_of(plan, item))


def _geometry(plan: Plan, item: PlannedItem, shape: Shape) -> Work:
    width = width_of(plan, item)
    active_codes = analysis_rows(plan, item) * _l0(plan, item)
    return Work(flop=4.0 * width**2 * shape.d_model, seconds=3e-6 * active_codes + 0.03 * width)


def _landscape(plan: Plan, item: PlannedItem, shape: Shape) -> Work:
    seconds = landscape_seconds(item.spec["settings"], width_of(plan, item), shape.d_model)
    return Work(seconds=1e-6 * analysis_rows(plan, item) * _l0(plan, item) + seconds)


def landscape_seconds(settings: dict[str, Any], width: int, d_in: int) -> float:
    """Permutations of pairs, and as many random dictionaries as are drawn."""
    pairs = min(settings["latents"], width) ** 2
    dictionary = 1e-9 * width * d_in**2 + 2e-9 * d_in**3 + 5e-10 * pairs * d_in
    return 3.0 + 3e-8 * settings["draws"] * pairs + settings["dictionaries"] * dictionary


def _meta(plan: Plan, item: PlannedItem, shape: Shape) -> Work:
    s = item.spec["settings"]
    cells = shape.d_model * s["share"] * width_of(plan, item)
    seen = 2 * s["steps"] * s["batch_size"]  # trained twice, the null too
    return Work(bytes=int(8 * cells), flop=12.0 * cells * seen, seconds=6e-3 * s["steps"])


def _probe(plan: Plan, item: PlannedItem, shape: Shape) -> Work:
    """A sparse probe for each value, and of the null."""
    s = item.spec["settings"]
    seconds = 4e-5 * min(s["tokens"], analysis_rows(plan, item)) * (PROBED + 4 * s["draws"])
    if "ablation" not in s["methods"]:
        return Work(seconds=seconds)
    flop = 0.0
    if "later_site" in s:  # at most; a forward pass and a gradient, each through all of it
        passes = (PROBED + s["draws"]) * s["ablated"] * s["steps"]
        length = corpus_settings(plan, item).get("context_length", 0)
        flop = 4.0 * shape.parameters * passes * length
    # probes of the random concepts, at two sites
    return Work(flop=flop, seconds=2 * seconds)


def _claims(plan: Plan, item: PlannedItem, shape: Shape) -> Work:
    """Tables of all inputs; at every width step dendrograms and random pairs of children; between
    layers null complexes.
    """
    s, seconds = item.spec["settings"], _small(plan, item, shape).seconds
    trees = [plan.items.by_digest.get(digest) for digest in item.spec["inputs"].get("trees", ())]
    for tree in trees:
        widths = sorted({d_sae(sae) for sae in saes_behind(plan, tree)}) if tree else []
        for wide in widths[1:]:
            children = min(s["children"], wide)
            seconds += (9e-8 * s["null_dictionaries"] + 2.5e-9 * s["draws"]) * children**2
    for digest in item.spec["inputs"].get("matches", ()):
        match = plan.items.by_digest.get(digest)
        if match and match.spec["settings"].get("direction") == "layer":
            width = min(d_sae(sae) for sae in saes_behind(plan, match))
            seconds += s["draws"] * (6e-4 + 4e-7 * s["simplex"] ** 2 * width)
    return Work(seconds=seconds)


def _small(plan: Plan, item: PlannedItem, shape: Shape) -> Work:
    """Concepts, figures, report and bundle: what reading their inputs takes."""
    return Work(seconds=3.0 + 0.2 * len(input_digests(item.spec)))


_OF_STAGE: dict[str, Callable[[Plan, PlannedItem, Shape], Work]] = {
    "model": _model,
    "corpus": _corpus,
    "capture": _capture,
    "train": _train,
    "import": _import,
    "evaluate": _evaluate,
    "encode": _encode,
    "match": _match,
    "tree": _tree,
    "geometry": _geometry,
    "landscape": _landscape,
    "probe": _probe,
    "meta": _meta,
    "claims": _claims,
}


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


def _l0(plan: Plan, item: PlannedItem) -> float:
    """Active latents per token of the densest SAE behind an item."""
    return max(map(active, saes_behind(plan, item)))

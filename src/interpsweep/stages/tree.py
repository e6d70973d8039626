"""Stage ``tree``: typed edges and the forest of a family."""

from collections.abc import Set
from itertools import pairwise
from typing import Any

from interpsweep.spec import Spec
from interpsweep.stages.record import Sizes, Stage, Work, sae_label
from interpsweep.stages.sizes import MB


def _work(s: Sizes) -> Work:
    pairs = s.rows * s.l0**2 * len(s.saes)
    return Work(seconds=2e-8 * pairs + 1e-3 * s.width)


def _each(s: Sizes) -> float:
    return 16.0 * s.cells + 200 * MB + 2000.0 * sum(s.widths)


def _label(at: dict[str, Any]) -> str:
    if at.get("direction") == "levels":
        return f"levels-{sae_label(at)}"
    if "direction" in at:
        return f"{at['direction']}-{at['seed']}-{at['against']}-{sae_label(at, skip='seed')}"
    return sae_label(at)


def _without(spec: Spec, lost: Set[str]) -> Spec | None:
    """The tree of the widths that are left; None if not all that then follow each other match."""
    settings, inputs = dict(spec["settings"]), spec["inputs"]
    if "leading" in settings:  # its levels are one SAE's
        return None
    both = enumerate(zip(inputs["saes"], inputs["codes"], strict=True))
    left = [level for level, needed in both if lost.isdisjoint(needed)]
    matches = {(level, level + 1): match for level, match in enumerate(inputs["matches"])}
    matches |= zip(map(tuple, settings["skips"]), inputs["skips"], strict=True)
    there = {
        (left.index(low), left.index(high)): match
        for (low, high), match in matches.items()
        if match not in lost and low in left and high in left
    }
    steps = [there.pop(pair, None) for pair in pairwise(range(len(left)))]
    if not steps or None in steps:
        return None
    reduced = {
        "saes": [inputs["saes"][level] for level in left],
        "codes": [inputs["codes"][level] for level in left],
        "matches": steps,
        "skips": list(there.values()),
    }
    settings["skips"] = [list(ends) for ends in there]
    return {**spec, "settings": settings, "inputs": {**inputs, **reduced}}


STAGE = Stage(
    name="tree",
    version=6,
    makes="typed edges and the forest of a family",
    noun="trees",
    module="interpsweep.matching.tree",
    settings="interpsweep.config.analysis:TreeSettings",
    kind="trees",
    target="trees",
    reads=("train", "import", "encode", "match"),
    files=("edges.parquet", "nodes.parquet", "tree.json", "forest.graphml", "summary.json"),
    label=_label,
    work=_work,
    each=_each,
    gathers=_without,
)

"""Stage ``tree``: typed edges and the forest of a family."""

from typing import Any

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


STAGE = Stage(
    name="tree",
    version=7,
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
)

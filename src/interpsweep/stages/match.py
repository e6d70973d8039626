"""Stage ``match``: candidate pairs of two dictionaries with evidence and nulls."""

import math
from typing import Any

from interpsweep.stages.record import Sizes, Stage, Work, sae_label
from interpsweep.stages.sizes import MB


def _work(s: Sizes) -> Work:
    products = 1 + 4 * s.settings["null_draws"]
    flop = 2.0 * s.shape.d_model * math.prod(s.widths) * products
    return Work(flop=flop, seconds=1e-7 * s.rows * s.l0**2 + 5e-3 * sum(s.widths))


def _each(s: Sizes) -> float:
    limit = s.settings["assignment_limit"]
    assigned = min(s.widths) ** 2 if max(s.widths) <= limit else 0
    return 32.0 * s.cells + 600 * MB + 24.0 * assigned + 2000.0 * sum(s.widths)


def _label(at: dict[str, Any]) -> str:
    a, b = at["a"], at["b"]
    if at["direction"] == "levels":
        return f"levels-{'-'.join(map(str, at['leading']))}-{sae_label(a)}"
    along = {"seed": "seed", "layer": "site"}.get(at["direction"], "d_sae")
    return f"{at['direction']}-{a[along]}-{b[along]}-{sae_label(a, skip=along)}"


STAGE = Stage(
    name="match",
    version=5,
    makes="candidate pairs of two dictionaries with evidence and nulls",
    noun="matches",
    module="interpsweep.matching.match",
    settings="interpsweep.config.analysis:MatchSettings",
    kind="matches",
    target="matches",
    reads=("corpus", "capture", "mask", "train", "import", "encode"),
    files=(
        "edges.parquet",
        "features.parquet",
        "stitching.parquet",
        "simplices.parquet",
        "summary.json",
    ),
    label=_label,
    work=_work,
    each=_each,
)

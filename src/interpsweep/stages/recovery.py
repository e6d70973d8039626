"""Stage ``recovery``: what an SAE holds of the labelled concepts."""

from interpsweep.stages.record import Place, Sizes, Stage, Wanted, Work
from interpsweep.stages.sizes import MB


def _work(s: Sizes) -> Work:
    """A pass over the codes for each level."""
    return Work(seconds=2.0 + 3e-8 * s.entries * len(s.settings["levels"]))


def _each(s: Sizes) -> float:
    return 32.0 * s.cells + 12.0 * s.entries + 200 * MB


def _wants(p: Place) -> Wanted:
    if not p.labelled:
        return None
    read = p.inputs("corpus", "sae", "codes")
    # a transcoder reconstructs other activations than those that the planes are in
    planes = [] if p.output is not None else [p.read["concepts"]]
    return p.sections.recovery.identity(), {**read, "concepts": planes}


STAGE = Stage(
    name="recovery",
    version=1,
    makes="labelled concepts in one SAE: best latents of values, their order, their planes",
    noun="recoveries",
    module="interpsweep.geometry.recovery",
    settings="interpsweep.config.analysis:RecoverySettings",
    kind="recoveries",
    target="recovery",
    reads=("corpus", "train", "import", "encode", "concepts"),
    files=("concepts.parquet", "values.parquet", "shares.parquet", "summary.json"),
    of_each=("sae",),
    wants=_wants,
    gathers=True,
    work=_work,
    each=_each,
)

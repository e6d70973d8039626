"""Stage ``evaluate``: reconstruction and recovered loss on held-out tokens."""

from interpsweep.stages.record import Place, Sizes, Stage, Wanted, Work, held_by_answers
from interpsweep.stages.sizes import MB


def _work(s: Sizes) -> Work:
    """One pass with the reconstruction, and a share of the clean and the ablated pass."""
    held_out = int(s.tokens * s.corpus.get("eval_share", 0))
    passes = s.settings["contexts"] * s.corpus.get("context_length", 0)
    flop = 6.0 * s.shape.parameters * passes + 4.0 * s.cells * (held_out + passes)
    return Work(held_out, 0, flop, 2.0)


def _each(s: Sizes) -> float:
    return 16.0 * s.cells + 200 * MB


def _wants(p: Place) -> Wanted:
    place = {"site": p.site, **({} if p.output is None else {"output_site": p.output})}
    settings = {**p.sections.evaluate.identity(), **place, "model": p.model}
    return settings, p.inputs("model", "corpus", "activations", "masks", "targets", "sae")


STAGE = Stage(
    name="evaluate",
    version=5,
    makes="reconstruction and recovered loss on held-out tokens",
    noun="evaluations",
    module="interpsweep.saes.evaluate",
    settings="interpsweep.config.inference:EvaluateSettings",
    kind="evaluations",
    target="evaluations",
    reads=("model", "corpus", "capture", "mask", "train", "import"),
    files=("metrics.json", "latents.parquet", "positions.parquet", "norms.parquet"),
    of_each=("sae",),
    wants=_wants,
    bank=True,
    engine="torch",
    gpu=True,
    work=_work,
    held=held_by_answers,
    each=_each,
    at_once=True,
    soon=True,
)

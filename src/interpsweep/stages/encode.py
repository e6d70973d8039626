"""Stage ``encode``: sparse codes of the analysis tokens, statistics and top contexts of latents."""

from interpsweep.stages.record import Place, Sizes, Stage, Wanted, Work
from interpsweep.stages.sizes import CODE_BYTES, MB


def _work(s: Sizes) -> Work:
    return Work(s.rows, int(s.rows * s.l0 * CODE_BYTES), 4.0 * s.cells * s.rows)


def _each(s: Sizes) -> float:
    return s.workers * (16.0 * s.cells + 200 * MB) + 24.0 * min(s.entries, 2e7)


def _wants(p: Place) -> Wanted:
    return p.sections.encode.identity(), p.inputs("corpus", "activations", "masks", "sae")


STAGE = Stage(
    name="encode",
    version=7,
    makes="sparse codes of the analysis tokens, statistics and top contexts of latents",
    noun="codes",
    module="interpsweep.saes.encode",
    settings="interpsweep.config.inference:EncodeSettings",
    kind="codes",
    target="codes",
    reads=("corpus", "capture", "mask", "train", "import"),
    files=("latents.parquet", "contexts.parquet"),
    of_each=("sae",),
    wants=_wants,
    engine="torch",
    gpu=True,
    work=_work,
    each=_each,
)

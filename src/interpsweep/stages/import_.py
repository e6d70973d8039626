"""Stage ``import``: SAEs that somebody else trained, from six formats into ours."""

from interpsweep.stages.record import Sizes, Stage, Work


def _work(s: Sizes) -> Work:
    return Work(bytes=8 * s.cells, seconds=60.0)


def _each(s: Sizes) -> float:
    return 24.0 * s.cells


STAGE = Stage(
    name="import",
    version=1,
    makes="SAEs that somebody else trained, from six formats into ours",
    noun="imported SAEs",
    module="interpsweep.saes.imports",
    settings="interpsweep.config.imports:ImportSettings",
    kind="saes",
    target="saes",
    reads=("corpus", "capture", "mask"),
    files=("cfg.json", "sae_weights.safetensors", "sparsity.safetensors"),
    engine="torch",
    work=_work,
    each=_each,
)

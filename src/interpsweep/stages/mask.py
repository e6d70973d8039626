"""Stage ``mask``: which captured rows are used, their moments, and the massive rows there are."""

from interpsweep.stages.record import Sizes, Stage, Work


def _work(s: Sizes) -> Work:
    """Two passes over the rows, and the moments of some."""
    flop = 2.0 * min(s.settings["statistics_rows"], s.tokens) * s.shape.d_model**2
    return Work(s.tokens, flop=flop, seconds=3e-9 * s.tokens * s.shape.d_model)


def _each(s: Sizes) -> float:
    return s.workers * (32.0 * s.chunk + 24.0 * s.shape.d_model**2)


STAGE = Stage(
    name="mask",
    version=1,
    makes="which captured rows are used, their moments, and the massive rows there are",
    noun="masks",
    module="interpsweep.activations.mask",
    settings="interpsweep.config.mask:MaskSettings",
    kind="masks",
    target="masks",
    reads=("corpus", "capture"),
    files=("massive.parquet", "norms.parquet", "summary.json", "statistics.safetensors"),
    work=_work,
    each=_each,
)

"""Stage ``meta``: an SAE of the decoder rows of each SAE, and its null."""

from interpsweep.stages.record import Place, Sizes, Stage, Wanted, Work
from interpsweep.stages.sizes import MB


def _work(s: Sizes) -> Work:
    settings = s.settings
    cells = s.shape.d_model * settings["share"] * s.width
    seen = 2 * settings["steps"] * settings["batch_size"]  # trained twice, the null too
    return Work(bytes=int(8 * cells), flop=12.0 * cells * seen, seconds=6e-3 * settings["steps"])


def _each(s: Sizes) -> float:
    """Rows in float64 for the null, and a small training."""
    return 64.0 * s.cells + 200 * MB


def _wants(p: Place) -> Wanted:
    settings = p.sections.meta.identity()
    return (settings, p.inputs("sae")) if settings.pop("enabled") else None


STAGE = Stage(
    name="meta",
    version=2,
    makes="an SAE of the decoder rows of each SAE, and its null",
    noun="meta-SAEs",
    module="interpsweep.saes.meta",
    settings="interpsweep.config.meta:MetaSettings",
    kind="metas",
    target="metas",
    reads=("train", "import"),
    files=("cfg.json", "sae_weights.safetensors", "composition.parquet", "summary.json"),
    of_each=("sae",),
    wants=_wants,
    work=_work,
    each=_each,
)

"""Stage ``geometry``: clusters, census, spectrum, map of one dictionary."""

from interpsweep.stages.record import Place, Sizes, Stage, Wanted, Work


def _work(s: Sizes) -> Work:
    flop = 4.0 * s.width**2 * s.shape.d_model
    return Work(flop=flop, seconds=3e-6 * s.entries + 0.03 * s.width)


def _each(s: Sizes) -> float:
    widest = max(s.widths)
    linked = min(s.settings["linkage_limit"], widest) ** 2
    profiles = widest * 2 * min(s.settings["profile_latents"], widest)
    return 32.0 * s.cells + 24.0 * linked + 24.0 * profiles + 12.0 * s.entries


def _wants(p: Place) -> Wanted:
    read = {**p.inputs("corpus", "sae", "codes"), **p.space}
    return p.sections.geometry.identity(), read


STAGE = Stage(
    name="geometry",
    version=23,
    makes="clusters, census, spectrum, map of one dictionary",
    noun="geometries",
    module="interpsweep.geometry.geometry",
    settings="interpsweep.config.analysis:GeometrySettings",
    kind="geometries",
    target="geometry",
    reads=("corpus", "capture", "mask", "train", "import", "encode"),
    files=(
        *("census.parquet", "clusters.parquet", "panels.parquet", "persistence.parquet"),
        *("embedding.parquet", "spectrum.parquet", "summary.json"),
    ),
    of_each=("sae",),
    wants=_wants,
    work=_work,
    each=_each,
)

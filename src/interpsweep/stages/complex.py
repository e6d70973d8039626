"""Stage ``complex``: latents of a layer, joined by what the next layer makes of them."""

from interpsweep.stages.record import Sizes, Stage, Work


def _work(s: Sizes) -> Work:
    settings, width = s.settings, min(s.of(s.items[s.item.spec["inputs"]["match"]]).widths)
    return Work(seconds=settings["draws"] * (6e-4 + 4e-7 * settings["simplex"] ** 2 * width))


STAGE = Stage(
    name="complex",
    version=1,
    makes="topology of the latents of two layers that are matched, and its null",
    noun="complexes",
    module="interpsweep.geometry.layer_complex",
    settings="interpsweep.config.analysis:ComplexesSettings",
    kind="complexes",
    target="complexes",
    reads=("match",),
    files=("complex.parquet", "summary.json"),
    work=_work,
)

"""Stage ``landscape``: one dictionary as a whole."""

from typing import Any

from interpsweep.stages.record import Place, Sizes, Stage, Wanted, Work
from interpsweep.stages.sizes import MB


def seconds(settings: dict[str, Any], width: int, d_in: int) -> float:
    """Permutations of pairs, and as many random dictionaries as are drawn."""
    pairs = min(settings["latents"], width) ** 2
    dictionary = 1e-9 * width * d_in**2 + 2e-9 * d_in**3 + 5e-10 * pairs * d_in
    return 3.0 + 3e-8 * settings["draws"] * pairs + settings["dictionaries"] * dictionary


def _work(s: Sizes) -> Work:
    return Work(seconds=1e-6 * s.rows * s.l0 + seconds(s.settings, s.width, s.shape.d_model))


def _each(s: Sizes) -> float:
    pairs = min(s.settings["latents"], max(s.widths)) ** 2
    return 64.0 * s.cells + 200.0 * pairs + 200 * MB


def _wants(p: Place) -> Wanted:
    settings = p.sections.landscape.identity()
    return (settings, p.inputs("sae", "codes")) if settings.pop("enabled") else None


STAGE = Stage(
    name="landscape",
    version=4,
    makes="one dictionary as a whole: spectrum, packing, isotropy, what co-firing explains",
    noun="landscapes",
    module="interpsweep.geometry.landscape",
    settings="interpsweep.config.landscape:LandscapeSettings",
    kind="landscapes",
    target="landscape",
    reads=("train", "import", "encode"),
    files=("measures.parquet", "summary.json"),
    of_each=("sae",),
    wants=_wants,
    work=_work,
    each=_each,
)

"""Stage ``children``: the children that latents have in the next wider SAE, of one tree."""

from interpsweep.stages.record import Place, Sizes, Stage, Wanted, Work
from interpsweep.stages.sizes import MB


def _work(s: Sizes) -> Work:
    """At every step dendrograms, random pairs of children, and shapes of the largest families."""
    settings, seconds = s.settings, 5.0
    for wide in sorted(set(s.widths))[1:]:
        children = min(settings["children"], wide)
        pairs = 9e-8 * settings["null_dictionaries"] + 2.5e-9 * settings["draws"]
        seconds += pairs * children**2 + 0.8 * min(settings["parents"], wide / 100)
    return Work(seconds=seconds)


def _each(s: Sizes) -> float:
    """Distances of children, and as many null rows as a dendrogram needs."""
    children = min(s.settings["children"], max(s.widths))
    return 24.0 * s.cells + 64.0 * children**2 + 200 * MB


def _wants(p: Place) -> Wanted:
    if "tree" not in p.read:
        return None
    own = {"geometry": p.sections.geometry.identity(), "sae_seed": p.seed}
    return {**p.sections.children.identity(), **own}, p.inputs("tree", "saes")


STAGE = Stage(
    name="children",
    version=1,
    makes="shapes, dendrograms and parallelograms of the children of latents in a tree",
    noun="children",
    module="interpsweep.geometry.children",
    settings="interpsweep.config.analysis:ChildrenSettings",
    kind="children",
    target="children",
    reads=("train", "import", "tree"),
    files=(
        *("branches.parquet", "dendrograms.parquet", "parallelograms.parquet"),
        "summary.json",
    ),
    of_each=("family",),
    wants=_wants,
    work=_work,
    each=_each,
    gathers=True,
)

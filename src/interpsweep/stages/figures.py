"""Stage ``figures``: one figure with its table and caption."""

from typing import Any

from interpsweep.stages.record import Stage, sae_label


def _label(at: dict[str, Any]) -> str:
    where = [at[key] for key in ("model", "site") if key in at]
    family = [sae_label(at)] if "architecture" in at else []
    return "-".join([at["figure"], *where, *family])


STAGE = Stage(
    name="figures",
    version=25,
    makes="one figure with its table and caption",
    noun="figures",
    module="interpsweep.figures.draw",
    settings="interpsweep.config.pictures:DrawSettings",
    kind="figures",
    target="figures",
    reads=(
        *("mask", "train", "evaluate", "encode", "match", "tree", "geometry", "landscape", "probe"),
        *("concepts", "intervene", "claims"),
    ),
    files=("figure.svg", "figure.png", "data.parquet", "data.csv", "caption.md"),
    together=("drawn",),
    shown_by=(),
    soon=True,
    gathers=True,
    shows="pictures",
    label=_label,
)

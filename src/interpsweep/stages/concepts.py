"""Stage ``concepts``: class means of labelled concepts at one site, and their tests."""

from interpsweep.stages.record import Place, Stage, Wanted


def _wants(p: Place) -> Wanted:
    if not p.labelled:
        return None
    return p.sections.concepts.identity(), p.inputs("activations", "masks", "corpus")


STAGE = Stage(
    name="concepts",
    version=4,
    makes="class means of labelled concepts at one site, and their tests",
    noun="concepts",
    module="interpsweep.geometry.concepts",
    settings="interpsweep.config.analysis:ConceptsSettings",
    kind="concepts",
    target="concepts",
    reads=("corpus", "capture", "mask"),
    files=("concepts.parquet", "means.parquet", "relations.parquet", "summary.json"),
    of_each=("site",),
    wants=_wants,
)

"""Stage ``concepts``: class means of labelled concepts at one site, and their tests."""

from interpsweep.stages.record import Stage

STAGE = Stage(
    name="concepts",
    version=3,
    makes="class means of labelled concepts at one site, and their tests",
    noun="concepts",
    module="interpsweep.geometry.concepts",
    settings="interpsweep.config.analysis:ConceptsSettings",
    kind="concepts",
    target="concepts",
    reads=("corpus", "capture"),
    files=("concepts.parquet", "means.parquet", "relations.parquet", "summary.json"),
)

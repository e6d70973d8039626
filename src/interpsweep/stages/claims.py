"""Stage ``claims``: q-values, replication, recovery: all that depends on the whole sweep."""

from interpsweep.stages.record import Stage

STAGE = Stage(
    name="claims",
    version=31,
    makes="q-values, replication, recovery: all that depends on the whole sweep",
    noun="claims",
    module="interpsweep.claims.claims",
    settings="interpsweep.config.analysis:ClaimsSettings",
    kind="claims",
    target="claims",
    reads=(
        *("mask", "evaluate", "match", "tree", "geometry", "landscape", "probe", "concepts"),
        *("recovery", "children", "agreement", "complex", "intervene"),
    ),
    files=(
        *("claims.parquet", "recovery.parquet", "values.parquet", "saes.parquet"),
        *("matching.parquet", "contrasts.parquet", "families.parquet", "branches.parquet"),
        *("dendrograms.parquet", "parallelograms.parquet", "levels.parquet", "complexes.parquet"),
        *("edge_scores.parquet", "edge_confusion.parquet", "meta_parents.parquet"),
        *("relations.parquet", "concept_relations.parquet", "masks.parquet"),
        *("sparse_probes.parquet", "interventions.parquet", "summary.json"),
    ),
    together=(),
    gathers=True,
)

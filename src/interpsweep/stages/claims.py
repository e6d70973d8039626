"""Stage ``claims``: q-values, replication, recovery: all that depends on the whole sweep."""

from interpsweep.stages.record import Sizes, Stage, Work, reading_inputs


def _work(s: Sizes) -> Work:
    """Tables of all inputs; at every width step dendrograms and random pairs of children; between
    layers null complexes.
    """
    settings, seconds = s.settings, reading_inputs(s).seconds
    inputs = s.item.spec["inputs"]
    trees = [s.items.get(digest) for digest in inputs.get("trees", ())]
    for tree in trees:
        for wide in sorted(set(s.of(tree).widths))[1:] if tree else ():
            children = min(settings["children"], wide)
            pairs = 9e-8 * settings["null_dictionaries"] + 2.5e-9 * settings["draws"]
            seconds += pairs * children**2
    for digest in inputs.get("matches", ()):
        match = s.items.get(digest)
        if match and match.spec["settings"].get("direction") == "layer":
            width = min(s.of(match).widths)
            seconds += settings["draws"] * (6e-4 + 4e-7 * settings["simplex"] ** 2 * width)
    return Work(seconds=seconds)


STAGE = Stage(
    name="claims",
    version=28,
    makes="q-values, replication, recovery: all that depends on the whole sweep",
    noun="claims",
    module="interpsweep.claims.claims",
    settings="interpsweep.config.analysis:ClaimsSettings",
    kind="claims",
    target="claims",
    reads=(
        *("corpus", "train", "import", "evaluate", "encode", "match", "tree"),
        *("geometry", "landscape", "probe", "meta", "concepts"),
    ),
    files=(
        *("claims.parquet", "recovery.parquet", "values.parquet", "saes.parquet"),
        *("matching.parquet", "contrasts.parquet", "families.parquet", "branches.parquet"),
        *("dendrograms.parquet", "parallelograms.parquet", "levels.parquet", "complexes.parquet"),
        *("edge_scores.parquet", "edge_confusion.parquet", "meta_parents.parquet"),
        *("relations.parquet", "concept_relations.parquet", "sparse_probes.parquet"),
        "summary.json",
    ),
    together=(),
    gathers=True,
    work=_work,
)

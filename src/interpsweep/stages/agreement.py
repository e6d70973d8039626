"""Stage ``agreement``: parents that are known otherwise, beside those of a family's latents."""

from interpsweep.stages.record import Place, Sizes, Stage, Wanted, Work
from interpsweep.stages.sizes import MB


def _work(s: Sizes) -> Work:
    return Work(seconds=2.0 + 5e-8 * s.entries * len(s.saes))


def _each(s: Sizes) -> float:
    return 24.0 * s.cells + 12.0 * s.entries + 200 * MB


def _wants(p: Place) -> Wanted:
    """Labels and a world need the codes; a tree is needed by all but labels."""
    truth = p.labelled or (p.model["source"] == "world" and "tree" in p.read)
    if not truth and not ("tree" in p.read and (p.read["metas"] or p.read["levels"])):
        return None
    inputs = {role: p.read[role] for role in ("saes", "metas", "levels")}
    inputs |= {
        "trees": [p.read["tree"]] if "tree" in p.read else [],
        "corpora": [p.read["corpus"]] if truth else [],
        "codes": p.read["codes"] if truth else [],
        "recoveries": p.read.get("recoveries", []),
    }
    return {"index": {d: p.places[d] for role in inputs.values() for d in role}}, inputs


STAGE = Stage(
    name="agreement",
    version=1,
    makes="parents by labels, worlds, nested levels and meta-SAEs beside those of a family's tree",
    noun="agreements",
    module="interpsweep.matching.agreement",
    settings="interpsweep.config.pictures:Gathered",
    kind="agreements",
    target="agreement",
    reads=("corpus", "train", "import", "encode", "tree", "meta", "recovery"),
    files=(
        *("nested.parquet", "value_edges.parquet", "edge_scores.parquet"),
        *("edge_confusion.parquet", "levels.parquet", "meta_parents.parquet", "summary.json"),
    ),
    of_each=("family",),
    wants=_wants,
    gathers=True,
    work=_work,
    each=_each,
)

"""The stages of a sweep: name, version, module and the kind of artifact each makes.

`version` goes up whenever a change of code changes results: it is part of every spec of the
stage, so raising it remakes the stage's items and whatever depends on them. Nothing heavy is
imported here; a job imports its stage's module when it runs.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """One kind of work. `bank` stages make several items in one pass over shared data."""

    name: str
    kind: str  # folder in the store
    module: str
    version: int = 1
    bank: bool = False
    gpu: bool = False  # profits from a GPU where there is one
    face: str = ""  # the readable name under results/ and of the target a user types


_ALL = (
    Stage("model", "models", "interpsweep.models.train", gpu=True, face="model"),
    Stage("corpus", "corpora", "interpsweep.corpora.build", version=2, face="corpus"),
    Stage(
        "capture",
        "activations",
        "interpsweep.activations.capture",
        bank=True,
        gpu=True,
        face="activations",
    ),
    Stage("train", "saes", "interpsweep.saes.train", version=4, bank=True, gpu=True, face="saes"),
    Stage("import", "saes", "interpsweep.saes.imports", face="saes"),
    Stage(
        "evaluate",
        "evaluations",
        "interpsweep.saes.evaluate",
        version=2,
        bank=True,
        gpu=True,
        face="evaluations",
    ),
    Stage("encode", "codes", "interpsweep.saes.encode", version=4, gpu=True, face="codes"),
    Stage("match", "matches", "interpsweep.matching.match", version=3, face="matches"),
    Stage("tree", "trees", "interpsweep.matching.tree", version=6, face="trees"),
    Stage("geometry", "geometries", "interpsweep.geometry.geometry", version=21, face="geometry"),
    Stage("landscape", "landscapes", "interpsweep.geometry.landscape", version=2, face="landscape"),
    Stage("probe", "probes", "interpsweep.saes.probed", version=3, bank=True, face="probes"),
    Stage("meta", "metas", "interpsweep.saes.meta", version=2, version=2, face="metas"),
    Stage("concepts", "concepts", "interpsweep.geometry.concepts", version=3, face="concepts"),
    Stage("claims", "claims", "interpsweep.claims.claims", version=26, face="claims"),
    Stage("figures", "figures", "interpsweep.figures.draw", version=23, face="figures"),
    Stage("report", "reports", "interpsweep.report.report", version=8, face="report"),
    Stage("bundle", "bundles", "interpsweep.report.bundle", face="bundle"),
)
STAGES: dict[str, Stage] = {stage.name: stage for stage in _ALL}

# interpsweep: from model names to figures with evidence. Targets: `snakemake --help` and README.md.
from snakemake.utils import min_version

min_version("9.27")

from interpsweep.workflow import open_workflow

sweep = open_workflow(workflow)


report: "workflow/report/workflow.rst"


wildcard_constraints:
    name=r"[A-Za-z0-9._-]+",
    digest=r"[0-9a-f]{64}",
    activations=r"[0-9a-f]{64}",
    readers=r"[0-9a-f]{16}",
    sweep=r"[A-Za-z0-9_.-]+",
    figure=r"[A-Za-z0-9._-]+",
    place=r"[A-Za-z0-9._/-]+",
    face=r"[a-z]+",


localrules:
    all,
    face,
    figure,
    reclaim,
    corpus,
    activations,
    saes,
    evaluations,
    codes,
    matches,
    trees,
    geometry,
    landscape,
    metas,
    probes,
    concepts,
    claims,
    figures,
    report,
    bundle,


rule all:
    input:
        sweep.everything(),


include: "workflow/rules/model.smk"
include: "workflow/rules/corpus.smk"
include: "workflow/rules/capture.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/import.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/encode.smk"
include: "workflow/rules/match.smk"
include: "workflow/rules/tree.smk"
include: "workflow/rules/geometry.smk"
include: "workflow/rules/landscape.smk"
include: "workflow/rules/meta.smk"
include: "workflow/rules/probe.smk"
include: "workflow/rules/concepts.smk"
include: "workflow/rules/claims.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/results.smk"

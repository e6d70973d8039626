# interpsweep: from model names to figures with evidence. Targets: `snakemake --help` and README.md.
from snakemake.utils import min_version

min_version("9.27")

from interpsweep.stages import STAGES
from interpsweep.workflow import one_of, open_workflow, shown_files

sweep = open_workflow(workflow, config)


report: "workflow/report/workflow.rst"


wildcard_constraints:
    name=r"[A-Za-z0-9._-]+",
    digest=r"[0-9a-f]{64}",
    activations=r"[0-9a-f]{64}",
    readers=r"[0-9a-f]{16}",
    sweep=r"[A-Za-z0-9_.-]+",
    figure=r"[A-Za-z0-9._-]+",
    place=r"[A-Za-z0-9._/-]+",
    target=one_of(stage.target for stage in STAGES.values()),
    shown=shown_files(),


rule all:
    input:
        sweep.everything(),
    localrule: True


include: "workflow/rules/stages.smk"
include: "workflow/rules/results.smk"

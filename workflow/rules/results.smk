# The readable face of a sweep under results/, and the targets that users type.
rule face:
    input:
        sweep.shown,
    output:
        "results/{place}/{face}.json",
    localrule: True
    params:
        spec=sweep.shown_digest,
    shell:
        "python -m interpsweep.face {params.spec} {output}"


# A file of one item, for rules of your own: a copy, so that its age tells when it last changed.
rule copy:
    input:
        sweep.copy_needs,
    output:
        "results/{shown}",
    localrule: True
    params:
        original=sweep.original,
    shell:
        "cp {params.original} {output}"


# `corpus.json` can be the list of corpora, or a file of one.
ruleorder: copy > face


rule figure:
    input:
        sweep.picture_needs,
    output:
        svg=report(
            "results/{sweep}/figures/{figure}.svg",
            caption="../report/figure.rst",
            category=sweep.category,
            labels=sweep.labels,
        ),
        png="results/{sweep}/figures/{figure}.png",
    localrule: True
    params:
        item=sweep.picture_folder,
        caption=sweep.caption,
    shell:
        "cp {params.item}/figure.svg {output.svg} && cp {params.item}/figure.png {output.png}"


# Only with `keep: {activations: until_trained}`: everything that reads the activations is done.
rule reclaim:
    input:
        sweep.readers,
    output:
        "store/.jobs/reclaim/{activations}-{readers}.json",
    localrule: True
    shell:
        "python -m interpsweep reclaim {wildcards.activations} --record {output}"


# What a user types: `snakemake all_saes`, `snakemake all_figures`, ...
for target in dict.fromkeys(stage.target for stage in STAGES.values()):

    rule:
        name:
            f"all_{target}"
        input:
            sweep.target(target),
        localrule: True

# What results/ shows of a sweep under plain names, and the targets that users type. A listing names
# the items of one kind at one place; it vouches for the folders of links beside it.
rule listing:
    input:
        sweep.shown,
    output:
        "results/{place}/{target}.json",
    localrule: True
    params:
        spec=sweep.listing_digest,
    shell:
        "python -m interpsweep.results {params.spec} {output}"


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
ruleorder: copy > listing


rule picture:
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
        item=sweep.picture_item,
        caption=sweep.caption,
    shell:
        "python -m interpsweep.results {params.item} {output.svg}"


# Only with `keep: {activations: until_trained}`: everything that reads the activations is done.
rule reclaim:
    input:
        sweep.readers,
    output:
        "store/.jobs/reclaim/{activations}-{readers}.json",
    localrule: True
    shell:
        "python -m interpsweep reclaim {wildcards.activations} --record {output} {input}"


# What a user types: `snakemake all_saes`, `snakemake all_figures`, ...
for target in dict.fromkeys(stage.target for stage in STAGES.values()):

    rule:
        name:
            f"all_{target}"
        input:
            sweep.target(target),
        localrule: True

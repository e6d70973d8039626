# The readable face of a sweep under results/, and the targets that users type.
rule face:
    input:
        sweep.shown,
    output:
        "results/{place}/{face}.json",
    params:
        spec=sweep.shown_digest,
    shell:
        "python -m interpsweep.face {params.spec} {output}"


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
    shell:
        "python -m interpsweep reclaim {wildcards.activations} --record {output}"


# What a user types: `snakemake saes`, `snakemake figures`, ...
rule corpus:
    input:
        sweep.target("corpus"),


rule activations:
    input:
        sweep.target("activations"),


rule saes:
    input:
        sweep.target("saes"),


rule evaluations:
    input:
        sweep.target("evaluations"),


rule codes:
    input:
        sweep.target("codes"),


rule matches:
    input:
        sweep.target("matches"),


rule trees:
    input:
        sweep.target("trees"),


rule geometry:
    input:
        sweep.target("geometry"),


rule landscape:
    input:
        sweep.target("landscape"),


rule metas:
    input:
        sweep.target("metas"),


rule probes:
    input:
        sweep.target("probes"),


rule concepts:
    input:
        sweep.target("concepts"),


rule claims:
    input:
        sweep.target("claims"),


rule figures:
    input:
        sweep.target("figures"),


rule bundle:
    input:
        sweep.target("bundle"),


rule report:
    input:
        sweep.target("report"),

# The browsable atlas.
rule write_report:
    input:
        unpack(sweep.needs),
    output:
        index="store/.jobs/report/{name}-{digest}.json",
    log:
        "logs/report/{name}-{digest}.log",
    benchmark:
        "store/.benchmarks/report/{name}-{digest}.tsv"
    threads: sweep.threads
    resources:
        mem_mb=sweep.memory,
        runtime=sweep.runtime,
        disk_mb=sweep.disk,
    params:
        spec="store/.specs/{digest}.json",
        what=sweep.doing,
    message:
        "{params.what}"
    shell:
        "exec python -m interpsweep report --spec {params.spec} --index {output.index} > {log} 2>&1"


# Figures, tables and provenance in one zip.
rule pack_bundle:
    input:
        unpack(sweep.needs),
    output:
        index="store/.jobs/bundle/{name}-{digest}.json",
    log:
        "logs/bundle/{name}-{digest}.log",
    benchmark:
        "store/.benchmarks/bundle/{name}-{digest}.tsv"
    threads: sweep.threads
    resources:
        mem_mb=sweep.memory,
        runtime=sweep.runtime,
        disk_mb=sweep.disk,
    params:
        spec="store/.specs/{digest}.json",
        what=sweep.doing,
    message:
        "{params.what}"
    shell:
        "exec python -m interpsweep bundle --spec {params.spec} --index {output.index} > {log} 2>&1"

# SAEs that exist already, from a folder or the hub, into the format of the store.
rule import_saes:
    input:
        unpack(sweep.needs),
    output:
        index="store/.jobs/import/{name}-{digest}.json",
    log:
        "logs/import/{name}-{digest}.log",
    benchmark:
        "store/.benchmarks/import/{name}-{digest}.tsv"
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
        "exec python -m interpsweep import --spec {params.spec} --index {output.index} > {log} 2>&1"

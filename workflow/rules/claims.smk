# q-values, replication and observed minus null over the whole sweep.
rule weigh_claims:
    input:
        unpack(sweep.needs),
    output:
        index="store/.jobs/claims/{name}-{digest}.json",
    log:
        "logs/claims/{name}-{digest}.log",
    benchmark:
        "store/.benchmarks/claims/{name}-{digest}.tsv"
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
        "exec python -m interpsweep claims --spec {params.spec} --index {output.index} > {log} 2>&1"

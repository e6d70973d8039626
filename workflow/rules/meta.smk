# SAEs of the decoder rows of each SAE.
rule train_meta:
    input:
        unpack(sweep.needs),
    output:
        index="store/.jobs/meta/{name}-{digest}.json",
    log:
        "logs/meta/{name}-{digest}.log",
    benchmark:
        "store/.benchmarks/meta/{name}-{digest}.tsv"
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
        "exec python -m interpsweep meta --spec {params.spec} --index {output.index} > {log} 2>&1"

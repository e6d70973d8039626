# Train the small transformers whose structure is known.
rule train_model:
    input:
        unpack(sweep.needs),
    output:
        index="store/.jobs/model/{name}-{digest}.json",
    log:
        "logs/model/{name}-{digest}.log",
    benchmark:
        "store/.benchmarks/model/{name}-{digest}.tsv"
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
        "exec python -m interpsweep model --spec {params.spec} --index {output.index} > {log} 2>&1"

# L0, explained variance, loss recovered, dead and dense latents.
rule evaluate:
    input:
        unpack(sweep.needs),
    output:
        index="store/.jobs/evaluate/{name}-{digest}.json",
    log:
        "logs/evaluate/{name}-{digest}.log",
    benchmark:
        "store/.benchmarks/evaluate/{name}-{digest}.tsv"
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
        "exec python -m interpsweep evaluate --spec {params.spec} --index {output.index} > {log} 2>&1"

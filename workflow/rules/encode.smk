# Sparse codes of the analysis tokens, and each latent's top contexts.
rule encode:
    input:
        unpack(sweep.needs),
    output:
        index="store/.jobs/encode/{name}-{digest}.json",
    log:
        "logs/encode/{name}-{digest}.log",
    benchmark:
        "store/.benchmarks/encode/{name}-{digest}.tsv"
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
        "exec python -m interpsweep encode --spec {params.spec} --index {output.index} > {log} 2>&1"

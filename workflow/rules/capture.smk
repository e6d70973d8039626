# Activations of all sites of a model in one forward pass.
rule capture:
    input:
        unpack(sweep.needs),
    output:
        index="store/.jobs/capture/{name}-{digest}.json",
    log:
        "logs/capture/{name}-{digest}.log",
    benchmark:
        "store/.benchmarks/capture/{name}-{digest}.tsv"
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
        "exec python -m interpsweep capture --spec {params.spec} --index {output.index} > {log} 2>&1"

# Absorption of labelled concepts, measured with probes.
rule probe:
    input:
        unpack(sweep.needs),
    output:
        index="store/.jobs/probe/{name}-{digest}.json",
    log:
        "logs/probe/{name}-{digest}.log",
    benchmark:
        "store/.benchmarks/probe/{name}-{digest}.tsv"
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
        "exec python -m interpsweep probe --spec {params.spec} --index {output.index} > {log} 2>&1"

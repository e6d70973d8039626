# Clusters of directions and the census of their shapes.
rule take_census:
    input:
        unpack(sweep.needs),
    output:
        index="store/.jobs/geometry/{name}-{digest}.json",
    log:
        "logs/geometry/{name}-{digest}.log",
    benchmark:
        "store/.benchmarks/geometry/{name}-{digest}.tsv"
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
        "exec python -m interpsweep geometry --spec {params.spec} --index {output.index} > {log} 2>&1"

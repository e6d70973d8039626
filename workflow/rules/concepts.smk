# The supervised companion: geometry of labelled concepts.
rule measure_concepts:
    input:
        unpack(sweep.needs),
    output:
        index="store/.jobs/concepts/{name}-{digest}.json",
    log:
        "logs/concepts/{name}-{digest}.log",
    benchmark:
        "store/.benchmarks/concepts/{name}-{digest}.tsv"
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
        "exec python -m interpsweep concepts --spec {params.spec} --index {output.index} > {log} 2>&1"

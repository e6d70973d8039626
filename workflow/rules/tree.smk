# Splitting and absorption trees over the widths of a family.
rule tree:
    input:
        unpack(sweep.needs),
    output:
        index="store/.jobs/tree/{name}-{digest}.json",
    log:
        "logs/tree/{name}-{digest}.log",
    benchmark:
        "store/.benchmarks/tree/{name}-{digest}.tsv"
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
        "exec python -m interpsweep tree --spec {params.spec} --index {output.index} > {log} 2>&1"

# Every figure with its table and caption.
rule draw_figures:
    input:
        unpack(sweep.needs),
    output:
        index="store/.jobs/figures/{name}-{digest}.json",
    log:
        "logs/figures/{name}-{digest}.log",
    benchmark:
        "store/.benchmarks/figures/{name}-{digest}.tsv"
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
        "exec python -m interpsweep figures --spec {params.spec} --index {output.index} > {log} 2>&1"

# Tokens, documents, splits and labels.
rule build_corpus:
    input:
        unpack(sweep.needs),
    output:
        index="store/.jobs/corpus/{name}-{digest}.json",
    log:
        "logs/corpus/{name}-{digest}.log",
    benchmark:
        "store/.benchmarks/corpus/{name}-{digest}.tsv"
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
        "exec python -m interpsweep corpus --spec {params.spec} --index {output.index} > {log} 2>&1"

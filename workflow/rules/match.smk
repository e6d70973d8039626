# Similarity of latents between widths, seeds and layers, with nulls.
rule match:
    input:
        unpack(sweep.needs),
    output:
        index="store/.jobs/match/{name}-{digest}.json",
    log:
        "logs/match/{name}-{digest}.log",
    benchmark:
        "store/.benchmarks/match/{name}-{digest}.tsv"
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
        "exec python -m interpsweep match --spec {params.spec} --index {output.index} > {log} 2>&1"

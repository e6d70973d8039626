# A bank: the SAEs of one site, fed by one stream of activations.
rule train:
    input:
        unpack(sweep.needs),
    output:
        index="store/.jobs/train/{name}-{digest}.json",
    log:
        "logs/train/{name}-{digest}.log",
    benchmark:
        "store/.benchmarks/train/{name}-{digest}.tsv"
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
        "exec python -m interpsweep train --spec {params.spec} --index {output.index} > {log} 2>&1"

# Each dictionary as a whole: spectrum, packing, isotropy, lobes.
rule survey_landscape:
    input:
        unpack(sweep.needs),
    output:
        index="store/.jobs/landscape/{name}-{digest}.json",
    log:
        "logs/landscape/{name}-{digest}.log",
    benchmark:
        "store/.benchmarks/landscape/{name}-{digest}.tsv"
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
        "exec python -m interpsweep landscape --spec {params.spec} --index {output.index} > {log} 2>&1"

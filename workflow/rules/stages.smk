# One rule for each stage, named as it is. What a stage reads and makes: README.md, beside this.
for stage in STAGES.values():

    rule:
        name:
            stage.name
        input:
            unpack(sweep.needs),
        output:
            index=f"store/.jobs/{stage.name}/{{name}}-{{digest}}.json",
        log:
            f"logs/{stage.name}/{{name}}-{{digest}}.log",
        benchmark:
            f"store/.benchmarks/{stage.name}/{{name}}-{{digest}}.tsv"
        priority: 1 if stage.soon else 0
        threads: sweep.threads
        resources:
            mem_mb=sweep.memory,
            runtime=sweep.runtime,
            disk_mb=sweep.disk,
        params:
            stage=stage.name,
            spec="store/.specs/{digest}.json",
            what=sweep.doing,
        message:
            "{params.what}"
        # no shell stays between SLURM and the worker: it would die of the SIGTERM that lets it save
        shell:
            "exec python -m interpsweep {params.stage}"
            " --spec {params.spec} --index {output.index} --threads {threads} > {log} 2>&1"

"""Planning a large sweep: 5 models x 26 layers x 6 widths x 3 seeds, about 16,000 items.

    python benchmarks/plan.py [--models 5] [--layers 26] [--widths 6] [--seeds 3]

Nothing is computed: a finished sweep is pretended by writing its manifests. Every row is a process
of its own; the table gives its wall-clock seconds, its processor seconds (all that counts on a
machine that does other things too) and its peak memory:

* plan: the configuration is read and every item, job and readable file is planned;
* dry run, empty store: `snakemake -n` with all work still to do;
* dry run, full store: `snakemake -n` with nothing to do;
* no-op: `snakemake all` with nothing to do, locks and preflight included.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from interpsweep import driver
from interpsweep.config.load import load_sweep
from interpsweep.plan import Plan, build_plan
from interpsweep.plan.estimate import model_question, question_path
from interpsweep.store import Store
from interpsweep.store.layout import MANIFEST, RUN_RECORD, write_atomic
from interpsweep.store.seal import sealed

SNAKEFILE = Path(__file__).parents[1] / "Snakefile"
SNAKEMAKE = (sys.executable, "-m", "snakemake", "--snakefile", str(SNAKEFILE), "--cores", "1",
             "--workflow-profile", str(SNAKEFILE.parent / "profiles" / "default"),
             "--quiet", "all", "--configfile", "sweep.yaml")  # fmt: skip
PLAN = "from interpsweep.driver import plan_sweep as p; from pathlib import Path; "
PLAN += "plan = p([Path('sweep.yaml')]); assert plan.jobs and plan.listings"


def write_config(models: int, layers: int, widths: int, seeds: int) -> None:
    """The configuration of the sweep, as JSON, which is YAML too."""
    shape = {"n_layers": layers, "d_model": 16, "n_heads": 2, "d_mlp": 32}
    sites = [f"blocks.{{0..{layers - 1}}}.hook_resid_post"]
    config = {
        "sweep": "large",
        "models": [
            {"name": f"m{seed}", "source": "trained", "seed": seed, "architecture": shape,
             "sites": sites}
            for seed in range(models)
        ],
        "corpus": {"source": "generated", "n_tokens": 10000},
        "train": {"widths": [32 << i for i in range(widths)], "sparsities": [4],
                  "seeds": list(range(seeds))},
    }  # fmt: skip
    Path("sweep.yaml").write_text(json.dumps(config))


def pretend(plan: Plan) -> None:
    """Write the manifest of every item, as if all of the sweep had been made.

    A manifest of a real item names some files and metrics; so do these.
    """
    store = Store()
    driver.write_specs(plan, store)
    files = {f"part-{i}.parquet": {"size": 0, "sha256": "0" * 64} for i in range(6)}
    metrics = {f"metric_{i}": i / 7 for i in range(20)}
    for item in plan.items.by_digest.values():
        folder = store.path(item.spec, item.digest)
        folder.mkdir(parents=True)
        if item.stage == "figures":
            for name in ("figure.svg", "figure.png"):
                (folder / name).write_text(item.digest * 500)
        manifest = {"digest": item.digest, "spec": item.spec, "files": files, "metrics": metrics}
        (folder / MANIFEST).write_text(sealed(manifest))
        (folder / RUN_RECORD).write_text("{}")
    for model in plan.sweep.models:  # a real run has looked at its models, once
        answer = {"widths": dict.fromkeys(model.site_names, model.architecture.d_model)}
        write_atomic(question_path(model_question(model, plan.lock), store), json.dumps(answer))
    driver.prepare(plan, store)


def measure(command: tuple[str, ...]) -> tuple[float, float, float]:
    """Wall-clock and processor seconds and peak memory (MB) of a process, which must succeed."""
    began = time.perf_counter()
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            log.seek(0)
            sys.exit(f"{' '.join(command)}\n{log.read().decode()[-3000:]}")
    seconds = time.perf_counter() - began
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def show(name: str, command: tuple[str, ...]) -> None:
    """Measure a command and print its row."""
    seconds, processor, memory = measure(command)
    print(f"{name:<24} {seconds:7.1f} s {processor:7.1f} s {memory:8.0f} MB", flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    for name, default in (("models", 5), ("layers", 26), ("widths", 6), ("seeds", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    sizes = vars(parser.parse_args())
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        write_config(**sizes)
        plan = build_plan(load_sweep([Path("sweep.yaml")]), {})
        print(
            f"{len(plan.items.by_digest)} items, {len(plan.jobs)} jobs, {len(plan.listings)} files"
        )
        show("plan", (sys.executable, "-c", PLAN))
        show("dry run, empty store", (*SNAKEMAKE, "-n"))
        pretend(plan)
        show("dry run, full store", (*SNAKEMAKE, "-n"))
        show("no-op", SNAKEMAKE)
        os.chdir("/")


if __name__ == "__main__":
    main()

"""What the Snakefile asks: which files a sweep needs, and what a rule needs before it runs.

The process that the user started (the driver) plans the sweep. The processes that Snakemake starts
on a cluster only parse the rules again; for them all of that is skipped, since a job gets nothing
from the configuration but a digest.
"""

from __future__ import annotations

import atexit
import os
import re
import sys
from collections.abc import Collection, Iterable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interpsweep.errors import UserError, for_user, nearest
from interpsweep.face import current, same_bytes
from interpsweep.figures.registry import FIGURES
from interpsweep.store import Store

if TYPE_CHECKING:
    from interpsweep.plan import Plan
    from interpsweep.plan.items import PlannedItem
    from interpsweep.plan.resources import Request

DEFAULT_CONFIG = "config/config.yaml"

# The report's graph and `-F` need every edge; INTERPSWEEP_FULL_EDGES=1 gives them.
FULL_EDGES = os.environ.get("INTERPSWEEP_FULL_EDGES", "") not in ("", "0")


class Worker:
    """The rules' view of a sweep in a cluster job: nothing to say, the digest is all it needs."""

    # Snakemake passes on what SLURM gave this job, and starts the step with as many
    threads = int(os.environ.get("SLURM_CPUS_ON_NODE", "1"))

    def memory(self, _wildcards: Any) -> int:
        """MB; Snakemake wants a number, and nobody asks for it any more."""
        return 1

    runtime = disk = memory

    def __getattr__(self, name: str) -> Any:
        return lambda *_args, **_kwargs: []


class Driver:
    """The rules' view of a sweep in the process that the user started."""

    def __init__(
        self,
        plan: Plan,
        there: Collection[str] = (),
        on_gpu: Collection[str] = (),
        settled: bool = False,
    ) -> None:
        """`there` are the digests of finished items, `on_gpu` the stages that get a GPU.

        `settled` says that all files that Snakemake sees of finished items are as they should be.
        """
        from interpsweep.plan.resources import Requests  # heavy, and workers need none of it

        self._plan, self._there, self._settled = plan, there, settled
        run = plan.sweep.run
        # workers that are jobs of their own take nothing from this one
        self.threads = run.threads * (1 if run.engine in ("serial", "dask-slurm") else run.workers)
        self._requests = Requests(plan, Store(), on_gpu)

    def everything(self) -> list[str]:
        """All the sweep means: index files, readable files, figures.

        Once they are settled, only those with something left to do: Snakemake takes milliseconds
        for each file that it looks at, and a large sweep has thousands.
        """
        plan = self._plan
        indices = [job.index for job in plan.jobs if self._open(job.items)]
        records = [path for path in plan.reclaimable if not (self._settled and Path(path).exists())]
        wanted = [*indices, *self._open_faces(plan.face), *self._open_pictures(), *records]
        return wanted or [plan.jobs[-1].index]  # a rule without any input would always run

    def target(self, face: str) -> list[str]:
        """The readable files of one kind and the jobs behind them, for the targets a user types.

        The jobs are named too because Snakemake is content with a file whose own inputs are gone.
        """
        found = [path for path in self._plan.face if path.endswith(f"/{face}.json")]
        made = [item for path in found for _, item in self._plan.face[path].items]
        jobs = {self._plan.job_of[item].index: None for item in made if self._open([item])}
        pictures = self._open_pictures() if face in ("figures", "report") else []
        return [*jobs, *self._open_faces(found), *pictures] or found[:1]

    def _open(self, items: Iterable[str]) -> bool:
        """Whether something is left to do for what shows or names these items."""
        return not (self._settled and all(item in self._there for item in items))

    def _open_faces(self, paths: Iterable[str]) -> list[str]:
        face = self._plan.face
        return [path for path in paths if self._open(item for _, item in face[path].items)]

    def _open_pictures(self) -> list[str]:
        return [path for path, item in self._plan.pictures.items() if self._open([item])]

    def needs(self, wildcards: Any) -> dict[str, list[str]]:
        """Index files a job waits for, by stage; none once its own index exists.

        A finished artifact has no inputs: otherwise Snakemake would make it again whenever its
        inputs are grouped differently.
        """
        job = self._plan.job.get(wildcards.digest)
        if job is None or (Path(job.index).exists() and not FULL_EDGES):
            return {}
        return self._plan.needs(job)

    def doing(self, wildcards: Any) -> str:
        """One line for people: how many items of a job are to be made."""
        job = self._plan.job.get(wildcards.digest)
        if job is None:
            return wildcards.digest
        to_do = sum(item not in self._there for item in job.items)
        return f"{job.stage} {job.name}: {to_do} of {len(job.items)} items to make"

    def shown(self, wildcards: Any) -> list[str]:
        """The index files behind a readable file."""
        path = self._face_path(wildcards)
        face = self._plan.face.get(path)
        if face is None:
            raise UserError(f"{path}: this sweep has no such file{nearest(path, self._plan.face)}")
        jobs = list({self._plan.job_of[digest].index: None for _, digest in face.items})
        fresh = current(Path(path)) == face.digest and _all_exist(jobs)
        return [] if fresh and not FULL_EDGES else jobs

    def shown_digest(self, wildcards: Any) -> str:
        """The digest of what a readable file shows."""
        face = self._plan.face.get(self._face_path(wildcards))
        return "" if face is None else face.digest

    def picture_needs(self, wildcards: Any) -> list[str]:
        """The job index behind a figure under results/."""
        item = self._picture(wildcards)
        if item is None:
            raise UserError(f"{wildcards.figure}: this sweep has no such figure")
        jobs = [self._plan.job_of[item.digest].index]
        path = f"results/{wildcards.sweep}/figures/{wildcards.figure}.svg"
        source = Path(self.picture_folder(wildcards), "figure.svg")
        fresh = _all_exist([*jobs, path]) and same_bytes(source, Path(path))
        return [] if fresh and not FULL_EDGES else jobs

    def picture_folder(self, wildcards: Any) -> str:
        """The store folder of a figure under results/."""
        item = self._picture(wildcards)
        return "" if item is None else str(Store().root / item.place)

    def caption(self, wildcards: Any) -> str:
        """The caption of a figure that is drawn, for Snakemake's report."""
        path = Path(self.picture_folder(wildcards), "caption.md")
        return path.read_text(encoding="utf-8").strip() if path.exists() else ""

    def labels(self, wildcards: Any) -> dict[str, str]:
        """The labels of a figure in Snakemake's report."""
        item = self._picture(wildcards)
        keys = ("figure", "model", "site", "architecture", "sparsity", "seed")
        return {key: str(item.at[key]) for key in keys if key in item.at} if item else {}

    def category(self, wildcards: Any) -> str:
        """The category of a figure in Snakemake's report."""
        item = self._picture(wildcards)
        return FIGURES[item.at["figure"]].category if item else ""

    def readers(self, wildcards: Any) -> list[str]:
        """The jobs that must be over before activations can be reclaimed."""
        return self._plan.readers.get(wildcards.activations, [])

    def memory(self, wildcards: Any, attempt: int) -> int:
        """MB to ask a cluster for; of a retry, more if the attempt before died for lack of it."""
        return self._request(wildcards.digest, attempt).memory

    def runtime(self, wildcards: Any, attempt: int) -> int:
        """Minutes to ask a cluster for, like `memory`."""
        return self._request(wildcards.digest, attempt).minutes

    def disk(self, wildcards: Any, attempt: int) -> int:
        """MB that a job writes."""
        return self._request(wildcards.digest, attempt).disk

    @cache  # noqa: B019 - one driver for each process
    def _request(self, digest: str, attempt: int) -> Request:
        """What an attempt at a job asks for: `attempt` only says that things may have changed."""
        return self._requests.of(self._plan.job[digest])

    @staticmethod
    def _face_path(wildcards: Any) -> str:
        return f"results/{wildcards.place}/{wildcards.face}.json"

    def _picture(self, wildcards: Any) -> PlannedItem | None:
        path = f"results/{wildcards.sweep}/figures/{wildcards.figure}.svg"
        digest = self._plan.pictures.get(path)
        return None if digest is None else self._plan.items.by_digest[digest]


def open_workflow(snakemake_workflow: Any) -> Driver | Worker:
    """What the Snakefile's rules need, for the Snakemake process that parses them.

    A bad configuration ends the process with status 2 and its mistakes, one a line.
    """
    # rules call `python`: it must be the one that runs this, activated or not
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    if not snakemake_workflow.is_main_process:
        return Worker()
    from interpsweep import driver
    from interpsweep.commands.preflight import preflight
    from interpsweep.profiles import gpu_stages
    from interpsweep.slurm import settle_leftovers

    dry = only_looks(sys.argv[1:])
    paths = [Path(path) for path in snakemake_workflow.overwrite_configfiles or [DEFAULT_CONFIG]]
    try:
        plan = driver.plan_sweep(paths)
        if not dry:
            lock = driver.DriverLock(plan.sweep.sweep, Store()).acquire()
            atexit.register(lock.release)
            preflight(plan, Store())
            if not lock.others():  # else jobs in the queue can be theirs; leases suffice
                settle_leftovers(plan, Store(), plan.sweep.run.leftovers)
        there = driver.prepare(plan, dry=dry)
    except (UserError, OSError) as error:
        print(f"interpsweep: {for_user(error)}", file=sys.stderr, flush=True)
        os._exit(2)  # Snakemake would turn a SystemExit into a traceback
    on_gpu = gpu_stages(snakemake_workflow.resource_settings.overwrite_resources)
    return Driver(plan, there, on_gpu, settled=not (dry or FULL_EDGES))


def _all_exist(paths: list[str]) -> bool:
    return all(Path(path).exists() for path in paths)


def only_looks(arguments: list[str]) -> bool:
    """Whether a Snakemake command line only looks: then nothing is locked, dropped or refreshed.

    Snakemake itself knows its executor only after the Snakefile is parsed.
    """
    words = [argument.split("=")[0] for argument in arguments]
    short = any(re.fullmatch(r"-[a-zA-Z]*[nSDl][a-zA-Z]*", word) for word in words)
    return short or not _LOOKING.isdisjoint(words)


_LOOKING = {
    *("--dry-run", "--dryrun", "--lint", "--report", "--summary", "--detailed-summary"),
    *("--dag", "--rulegraph", "--filegraph", "--d3dag", "--list-rules", "--list-target-rules"),
    *("--list-changes", "--list-input-changes", "--list-params-changes", "--unlock"),
}

"""What the Snakefile asks: which files a sweep needs, and what a rule needs before it runs.

The process that the user started (the driver) plans the sweep. The processes that Snakemake starts
on a cluster only parse the rules again; for them all of that is skipped, since a job gets nothing
from the configuration but a digest.
"""

from __future__ import annotations

import atexit
import json
import os
import re
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interpsweep.config.figures import FIGURES
from interpsweep.errors import UserError, for_user, nearest
from interpsweep.results import current, same_bytes
from interpsweep.stages import STAGES
from interpsweep.store import Store
from interpsweep.store.failures import present

if TYPE_CHECKING:
    from argparse import Namespace

    from interpsweep.plan import Plan
    from interpsweep.plan.items import PlannedItem
    from interpsweep.plan.jobs import Listing
    from interpsweep.plan.resources import Request

DEFAULT_CONFIG = "config/config.yaml"
TOP_PARTS = 3  # of results/<sweep>/<file>


def shown_files() -> str:
    """A pattern of the files below results/ that rules of a user may name: those in the records."""
    folders = [stage for stage in STAGES.values() if stage.shows == "folders"]
    targets = one_of(stage.target for stage in folders)
    files = one_of(name for stage in folders for name in stage.files)
    top = one_of(name for s in STAGES.values() if s.shows == "files" for name in s.files)
    return rf"[^/]+/(?:[^/]+/)*(?:{targets})/[^/]+/(?:{files})|[^/]+/(?:{top})"


def one_of(names: Iterable[str]) -> str:
    """A pattern of some names."""
    return "|".join(re.escape(name) for name in sorted(set(names)))


class WorkerView:
    """The rules' view of a sweep in a cluster job: nothing to say, the digest is all it needs."""

    # Snakemake passes on what SLURM gave this job, and starts the step with as many
    threads = int(os.environ.get("SLURM_CPUS_ON_NODE", "1"))

    def memory(self, _wildcards: Any) -> int:
        """MB. Snakemake wants a number; the job has its memory already."""
        return 1

    runtime = disk = memory

    def needs(self, *_: Any) -> list[str]:
        """No file: whoever started the job saw to its inputs."""
        return []

    everything = target = doing = shown = listing_digest = copy_needs = original = needs
    picture_needs = picture_item = caption = labels = category = readers = needs


class SweepView:
    """The rules' view of a sweep in the process that the user started."""

    def __init__(
        self,
        plan: Plan,
        there: Collection[str] = (),
        on_gpu: Collection[str] = (),
        *,
        settled: bool = False,
        as_it_is: bool = False,
        whole: bool = False,
    ) -> None:
        """`there` are the digests of finished items, `on_gpu` the stages that get a GPU.

        `settled` says that files that Snakemake sees of finished items are as they should be and
        need not be named, `as_it_is` that what could not be made is not asked for, `whole` that
        the graph has its edges between finished files too.
        """
        from interpsweep.plan.resources import Requests  # heavy, and workers need none of it

        self._plan, self._there, self._settled = plan, there, settled
        self._as_it_is, self._whole = as_it_is, whole
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
        wanted = [*indices, *self._open_listings(plan.listing), *self._open_pictures(), *records]
        return wanted or [plan.jobs[-1].index]  # a rule without any input would always run

    def target(self, name: str) -> list[str]:
        """The readable files of one kind and the jobs behind them, for the targets a user types.

        The jobs are named too because Snakemake is content with a file whose own inputs are gone.
        """
        found = [path for path in self._plan.listing if path.endswith(f"/{name}.json")]
        made = [item for path in found for _, item in self._plan.listing[path].items]
        jobs = {self._plan.job_of[item].index: None for item in made if self._open([item])}
        pictures = self._open_pictures() if name in ("figures", "report") else []
        return [*jobs, *self._open_listings(found), *pictures] or found[:1]

    def _open(self, items: Iterable[str]) -> bool:
        """Whether something is left to do for what shows or names these items."""
        return not (self._settled and all(item in self._there for item in items))

    def _open_listings(self, paths: Iterable[str]) -> list[str]:
        listing = self._plan.listing
        return [path for path in paths if self._open(item for _, item in listing[path].items)]

    def _open_pictures(self) -> list[str]:
        shown = self._plan.pictures.items()
        if self._as_it_is:
            return [path for path, _ in shown if Path(path).exists()]
        return [path for path, item in shown if self._open([item])]

    def needs(self, wildcards: Any) -> dict[str, list[str]]:
        """Index files a job waits for, by stage; none once its own index exists.

        A finished artifact has no inputs: otherwise Snakemake would make it again whenever its
        inputs are grouped differently.
        """
        job = self._plan.job.get(wildcards.digest)
        if job is None or (Path(job.index).exists() and not self._whole):
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
        listing = self._listing(self._listing_path(wildcards))
        jobs = list({self._plan.job_of[digest].index: None for _, digest in listing.items})
        fresh = current(Path(listing.path)) == listing.digest and _all_exist(jobs)
        return [] if fresh and not self._whole else jobs

    def listing_digest(self, wildcards: Any) -> str:
        """The digest of what a readable file shows."""
        listing = self._plan.listing.get(self._listing_path(wildcards))
        return "" if listing is None else listing.digest

    def copy_needs(self, wildcards: Any) -> list[str]:
        """What an item's file under results/ waits for; none once it is a copy of the right one.

        Snakemake does not miss what lies between two files that exist: two small files of the
        driver, younger than a stale copy, say that the list of items is to be made again.
        """
        shown, item, _ = self._shown(wildcards)
        path = Path("results", wildcards.shown)
        source = Path(self.original(wildcards))
        if not path.is_symlink() and same_bytes(source, path) and not self._whole:
            return []
        store = Store()
        younger = [store.spec_path(shown.digest), store.registered(self._plan.sweep.sweep)]
        made = [shown.path, self._plan.job_of[item].index]
        return [*made, *(str(file) for file in younger if file.exists())]

    def original(self, wildcards: Any) -> str:
        """The file of the store that an item's file under results/ shows."""
        _, item, name = self._shown(wildcards)
        return f"{self._folder(item)}/{name}"

    def _folder(self, item: str) -> str:
        """The store folder of an item, or of what stands in for it."""
        found = present(Store(), item)
        if found and found != item:
            return str(Store().find(found))
        return str(Store().root / self._plan.items.by_digest[item].place)

    def _shown(self, wildcards: Any) -> tuple[Listing, str, str]:
        """The readable file that lists the item of a file under results/, the item, its file."""
        path = Path("results", wildcards.shown)
        on_top = {name: s.target for s in STAGES.values() if s.shows == "files" for name in s.files}
        if path.name in on_top and len(path.parts) == TOP_PARTS:
            listing = self._listing(str(path.with_name(f"{on_top[path.name]}.json")))
            return listing, listing.items[0][1], path.name
        listing = self._listing(f"{path.parent.parent}.json")
        known, item = dict(listing.items), path.parent.name
        if item not in known:
            raise _told(UserError(f"{path}: {listing.path} has no {item!r}{nearest(item, known)}"))
        return listing, known[item], path.name

    def _listing(self, path: str) -> Listing:
        listing = self._plan.listing.get(path)
        if listing is None:
            near = nearest(path, self._plan.listing)
            raise _told(UserError(f"{path}: this sweep has no such file{near}"))
        return listing

    def picture_needs(self, wildcards: Any) -> list[str]:
        """The job index behind a figure under results/."""
        item = self._picture(wildcards)
        if item is None:
            near = nearest(wildcards.figure, [Path(path).stem for path in self._plan.pictures])
            raise _told(UserError(f"{wildcards.figure}: this sweep has no such figure{near}"))
        jobs = [self._plan.job_of[item.digest].index]
        path = f"results/{wildcards.sweep}/figures/{wildcards.figure}.svg"
        source = Path(self._picture_folder(wildcards), "figure.svg")
        fresh = _all_exist([*jobs, path]) and same_bytes(source, Path(path))
        return [] if fresh and not self._whole else jobs

    def picture_item(self, wildcards: Any) -> str:
        """The digest of a figure under results/."""
        item = self._picture(wildcards)
        return "" if item is None else item.digest

    def _picture_folder(self, wildcards: Any) -> str:
        """The store folder of a figure under results/."""
        item = self._picture(wildcards)
        return "" if item is None else self._folder(item.digest)

    def caption(self, wildcards: Any) -> str:
        """The caption of a figure that is drawn, for Snakemake's report."""
        path = Path(self._picture_folder(wildcards), "caption.md")
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

    @cache  # noqa: B019 - one view for each process
    def _request(self, digest: str, attempt: int) -> Request:
        """What an attempt at a job asks for: `attempt` only says that things may have changed."""
        return self._requests.of(self._plan.job[digest])

    @staticmethod
    def _listing_path(wildcards: Any) -> str:
        return f"results/{wildcards.place}/{wildcards.target}.json"

    def _picture(self, wildcards: Any) -> PlannedItem | None:
        path = f"results/{wildcards.sweep}/figures/{wildcards.figure}.svg"
        digest = self._plan.pictures.get(path)
        return None if digest is None else self._plan.items.by_digest[digest]


def open_workflow(snakemake_workflow: Any, config: Mapping[str, Any]) -> SweepView | WorkerView:
    """What the Snakefile's rules need, for the Snakemake process that parses them.

    The sweep is what `--configfile` names, or `config["configfiles"]`, which is how a workflow that
    loads this one as a module says it; `--config train="{seeds: [0]}"` is laid over it. A bad
    configuration ends the process with status 2 and its mistakes, one a line.
    """
    # rules call `python`: it must be the one that runs this, activated or not
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    if not snakemake_workflow.is_main_process:
        return WorkerView()
    from interpsweep import driver
    from interpsweep.commands.finish import finish
    from interpsweep.commands.incomplete import incomplete
    from interpsweep.commands.preflight import preflight
    from interpsweep.options import given_options, only_looks, reports, whole_graph
    from interpsweep.profiles import gpu_stages
    from interpsweep.slurm import settle_leftovers

    try:
        options = given_options()
        _obey(options, snakemake_workflow)
        dry, as_it_is, whole = only_looks(options), reports(options), whole_graph(options)
        paths = _config_files(snakemake_workflow, config)
        plan = driver.plan_sweep(paths, _given(snakemake_workflow, config))
        if not dry:
            lock = driver.DriverLock(plan.sweep.sweep, Store()).acquire()
            atexit.register(lock.release)
            preflight(plan, Store())
            if not lock.others():  # else jobs in the queue can be theirs; leases suffice
                settle_leftovers(plan, Store(), plan.sweep.run.leftovers)
        there = driver.prepare(plan, dry=dry, as_it_is=as_it_is)
    except (UserError, OSError) as error:
        raise _told(for_user(error)) from None
    # jobs end well without what they could not make. Not the directives, which count in the main
    # Snakefile only: this workflow may be a module
    again = _again(snakemake_workflow, paths)
    snakemake_workflow._onsuccess = lambda _log: _end(finish(plan, Store(), again))
    snakemake_workflow._onerror = lambda _log: print(*incomplete(plan, Store()), sep="\n")
    on_gpu = gpu_stages(
        snakemake_workflow.resource_settings.overwrite_resources, _named(snakemake_workflow)
    )
    settled = not (dry or whole or options.batch)  # a part of the names must stay a part of all
    return SweepView(plan, there, on_gpu, settled=settled, as_it_is=as_it_is, whole=whole)


def _obey(options: Namespace, snakemake_workflow: Any) -> None:
    """Do what options ask of this process. Raises UserError for what no sweep can do."""
    from interpsweep.options import profile_folder, provide_for_workers, refuse
    from interpsweep.profiles import has_gpu

    rules = {_named(snakemake_workflow)(stage) for stage in STAGES}
    refuse(options, rules, alone=snakemake_workflow.modifier.is_main_snakefile())
    provide_for_workers(profile_folder(options, Path(snakemake_workflow.main_snakefile)))
    if has_gpu() and options.executor in (None, "local") and "gpu" not in options.resources:
        snakemake_workflow.register_resource("gpu", 1)  # one job at a time has it


def _named(snakemake_workflow: Any) -> Callable[[str], str]:
    """What the rule of a stage is called: `use rule * from ... as ..._*` names it anew."""
    return snakemake_workflow.modifier.modify_rulename


def _config_files(snakemake_workflow: Any, config: Mapping[str, Any]) -> list[Path]:
    files = config.get("configfiles") or config.get("configfile")
    files = files or snakemake_workflow.overwrite_configfiles or [DEFAULT_CONFIG]
    return [Path(path) for path in ([files] if isinstance(files, str) else files)]


def _given(snakemake_workflow: Any, config: Mapping[str, Any]) -> dict[str, str]:
    """Sections of the configuration that `--config` gives, or whoever loads this as a module."""
    from interpsweep.options import given_config

    if snakemake_workflow.modifier.is_main_snakefile():
        found = given_config(snakemake_workflow.config_settings.config_args or [])
    else:
        found = {key: json.dumps(value) for key, value in config.items()}
    return {key: value for key, value in found.items() if key not in ("configfiles", "configfile")}


def _again(snakemake_workflow: Any, paths: list[Path]) -> list[str] | None:
    """The Snakemake call that means this sweep, for its report; none for one within another."""
    if not snakemake_workflow.modifier.is_main_snakefile():
        return None
    command = ["--snakefile", str(snakemake_workflow.main_snakefile)]
    command += ["--configfile", *map(str, paths)]
    entries = snakemake_workflow.config_settings.config_args
    return [*command, "--config", *entries] if entries else command


def _end(lines: list[str]) -> None:
    """End Snakemake with status 1 if `lines` say that something could not be made."""
    if lines:
        from snakemake.exceptions import WorkflowError  # Snakemake says it and ends

        raise WorkflowError("\n".join(lines))


def _told(error: UserError) -> SystemExit:
    """The end of Snakemake after a message to the user; of an error it would show a traceback."""
    print(f"interpsweep: {error}", file=sys.stderr, flush=True)
    return SystemExit(2)


def _all_exist(paths: list[str]) -> bool:
    return all(Path(path).exists() for path in paths)

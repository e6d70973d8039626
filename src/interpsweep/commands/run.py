"""Running a sweep: Snakemake does it, this shows how far it is and where to look afterwards."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Iterable
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.table import Table

from interpsweep import driver
from interpsweep.commands.finish import finish
from interpsweep.commands.preflight import preflight
from interpsweep.commands.progress import running_jobs
from interpsweep.errors import UserError
from interpsweep.options import given_config, given_options, only_looks, refuse
from interpsweep.plan import Plan
from interpsweep.plan.jobs import readable_name
from interpsweep.profiles import read_profile
from interpsweep.stages import STAGES
from interpsweep.store import Store

REFRESH = 1.0  # seconds between looks at the store, at least
SHARE = 0.05  # of the time may go into looking
LOG_EVERY = 20.0  # seconds between lines where there is no terminal
# options of Snakemake's that `interpsweep run` has itself
TAKEN = {
    ("--configfile", "--configfiles"): "name the files before `--`, as interpsweep run CONFIG...",
    ("--workflow-profile",): "use --profile, before `--`",
    ("--profile",): "use --profile, before `--`; it is Snakemake's --workflow-profile",
    ("--directory", "-d"): "start in that folder",
    ("--snakefile", "-s"): "start where that Snakefile is, or use `snakemake` itself",
}


def run_sweep(
    configs: list[Path],
    *,
    cores: int,
    target: str,
    profile: str,
    dry_run: bool,
    plain: bool,
    options: list[str],
) -> int:
    """Run Snakemake on a sweep, with `options` of its own, and return its exit status."""
    store = Store()
    given = checked(configs, profile, options) if options else None
    laid_over = (given and given.config) or []
    plan = driver.plan_sweep(configs, given_config(laid_over))
    if dry_run:
        say_what_would_run(plan, store)
        return 0
    command = snakemake_command(configs, cores, target, profile, options)
    _provide_cache(store)
    if os.environ.get("SNAKEMAKE_PROFILE"):
        print(f"SNAKEMAKE_PROFILE is not read; the profile is {profile} (--profile)", flush=True)
    if given and only_looks(given):
        return _plainly(command)
    preflight(plan, store)
    began = time.monotonic()
    status = _plainly(command) if plain else _watched(command, plan)
    if not plain:  # else Snakemake has said it
        again = ["--configfile", *map(str, configs)]
        again += ["--config", *laid_over] if laid_over else []
        lacks = finish(plan, store, again, time.monotonic() - began)
        print(*lacks, sep="\n", end="\n" if lacks else "")
    return status


def checked(configs: list[Path], profile: str, extra: list[str]) -> Namespace:
    """What a user's own options for Snakemake say, `extra`, with those of the profile.

    Raises UserError for those that cannot be honoured, or that this command line has itself.
    Without any, Snakemake's process checks those of the profile.
    """
    words = {word.split("=")[0] for word in extra}
    for taken, instead in TAKEN.items():
        if words & set(taken):
            raise UserError(f"{taken[0]}: {instead}")
    options = given_options(snakemake_command(configs, 0, "all", profile, extra)[3:])
    refuse(options, STAGES, alone=True)
    return options


def _provide_cache(store: Store) -> None:
    """Where the home folder cannot be written (Snakemake caches there), the store has a cache."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))
    try:
        home.mkdir(parents=True, exist_ok=True)
        usable = os.access(home, os.W_OK)
    except OSError:
        usable = False
    if not usable:
        os.environ.setdefault("HF_HOME", str(home / "huggingface"))  # models may be there to read
        os.environ["XDG_CACHE_HOME"] = str((store.root / ".cache").absolute())
        print(f"{home}: cannot be written; caches go to {store.root / '.cache'}", flush=True)


def say_what_would_run(plan: Plan, store: Store) -> None:
    """Print every item that a run would make (`snakemake -n` says the same in jobs)."""
    missing = plan.missing(store)
    for stage in STAGES:
        for item in missing.get(stage, []):
            where = [str(item.at[key]) for key in ("model", "site") if key in item.at]
            print(f"{stage:<9} {' '.join([*where, readable_name(item)])}  {item.digest[:16]}")
    count = sum(len(items) for items in missing.values())
    print(f"{count} of {len(plan.items.by_digest)} items to make" if count else "nothing to do")


def snakemake_command(
    configs: list[Path], cores: int, target: str, profile: str, options: Iterable[str] = ()
) -> list[str]:
    """The Snakemake call behind `interpsweep run`."""
    rule = f"all_{target}" if target in {stage.target for stage in STAGES.values()} else target
    command = [sys.executable, "-m", "snakemake", rule, "--workflow-profile", profile]
    # what runs is said in one place: not by the SNAKEMAKE_PROFILE of somebody's shell as well
    command += ["--profile", "none", "--configfile", *map(str, configs)]
    if cores or not read_profile(profile).cluster:
        command += ["--cores", str(cores) if cores else "all"]
    return [*command, *options]


def _plainly(command: list[str]) -> int:
    """Run `command` with its own output; after Ctrl-C, wait until it has stopped its jobs."""
    with subprocess.Popen(command, preexec_fn=_die_with_parent) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:  # the terminal sent it to Snakemake as well
            return process.wait()


def _watched(command: list[str], plan: Plan) -> int:
    """Run `command` in the background, its output in a log, progress on the screen."""
    log = Path("logs") / f"{plan.sweep.sweep}.log"
    log.parent.mkdir(exist_ok=True)
    console = Console()
    with log.open("w") as file:
        process = subprocess.Popen(
            command, stdout=file, stderr=subprocess.STDOUT, preexec_fn=_die_with_parent
        )
        try:
            _show_until_done(process, plan, console)
        except KeyboardInterrupt:  # the terminal sent it to Snakemake and its jobs as well
            console.print("stopping: running jobs save what they have; the same command continues")
            process.wait()
    if process.returncode:
        console.print(f"[bold red]not complete[/]; Snakemake's log is {log}", highlight=False)
        console.print(_last_errors(log), highlight=False, markup=False, soft_wrap=True)
    return process.returncode


def _die_with_parent() -> None:
    """On Linux: a Snakemake whose parent was killed would hold the sweep's lock for nobody."""
    if sys.platform == "linux":
        import ctypes

        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)


def _show_until_done(process: subprocess.Popen, plan: Plan, console: Console) -> None:
    store, last = Store(), 0.0
    with Live(console=console, auto_refresh=False, transient=True) as live:
        while process.poll() is None:
            began = time.monotonic()
            if console.is_terminal:
                live.update(progress_table(plan, store), refresh=True)
            elif time.monotonic() - last > LOG_EVERY:
                last = time.monotonic()
                print(progress_line(plan, store), flush=True)
            pause = max(REFRESH, (time.monotonic() - began) / SHARE)
            try:
                process.wait(pause)
            except subprocess.TimeoutExpired:
                continue


def progress_table(plan: Plan, store: Store) -> Table:
    """Items done and running jobs, one row for each stage."""
    there, running = driver.existing(plan, store), running_jobs(plan, store)
    table = Table(box=None, pad_edge=False)
    for name in ("stage", "done", "", "now"):
        table.add_column(name, justify="right" if name == "done" else "left")
    for stage in STAGES:
        items = plan.items.of(stage)
        if not items:
            continue
        done = sum(item.digest in there for item in items)
        filled = 20 * done // len(items)
        bar = "█" * filled + "░" * (20 - filled)
        table.add_row(stage, f"{done}/{len(items)}", bar, "; ".join(running.get(stage, [])))
    return table


def progress_line(plan: Plan, store: Store) -> str:
    """The same on one line, for logs."""
    there = driver.existing(plan, store)
    now = [text for texts in running_jobs(plan, store).values() for text in texts]
    return f"{len(there)}/{len(plan.items.by_digest)} items; " + ("; ".join(now) or "planning")


def _last_errors(log: Path, lines: int = 12) -> str:
    """The ends of the logs of the jobs that failed; of Snakemake's own if no job did."""
    text = log.read_text(errors="replace")
    named = re.findall(r"^ +log: (\S+) \(check", text, flags=re.MULTILINE)
    failed = [Path(name) for name in dict.fromkeys(named) if Path(name).is_file()]
    found = []
    for job in failed:
        tail = job.read_text(errors="replace").splitlines()[-lines:]
        found += [f"{job}:", *(f"  {line}" for line in tail)]
    if not found and "\nincomplete: " in text:
        return "every job has ended"  # what they could not make is said elsewhere
    return "\n".join(found or text.splitlines()[-2 * lines :])

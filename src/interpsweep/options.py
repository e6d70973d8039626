"""What Snakemake's command line asks for, profiles included, and which of it no sweep can honour.

Every option of Snakemake is obeyed or refused here in one line; docs/snakemake.md has the table.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from argparse import Namespace
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any

from interpsweep.errors import UserError, nearest
from interpsweep.profiles import check_word
from interpsweep.stages import STAGES

# options with which Snakemake makes nothing: nothing is locked, dropped or refreshed for them
LOOKING = (
    *("dryrun", "lint", "list_rules", "list_target_rules", "print_compilation", "containerize"),
    *("dag", "rulegraph", "filegraph", "d3dag", "summary", "detailed_summary", "unlock", "archive"),
    *("list_changes", "list_input_changes", "list_params_changes", "list_untracked"),
    *("cleanup_metadata", "cleanup_shadow", "container_cleanup_images", "delete_temp_output"),
    *("list_conda_envs", "conda_cleanup_envs", "conda_create_envs_only"),
)
# options that name rules, and rules that are no stage's
OF_RULES = ("set_threads", "set_resources", "consider_ancient", "omit_from")
OTHER_RULES = ("all", "listing", "copy", "picture", "reclaim")
GRAPHS = ("dag", "rulegraph", "filegraph", "d3dag")

_ONCE = (
    "a name in store/ says what is in it, so nothing is made twice. Delete an item's folder there "
    "to have it made again; `interpsweep verify --full --repair` drops those that are damaged"
)
_SHARED = "jobs read and write store/ on a file system that they share; leave it out"
# option -> when it is refused (its value, the rules of stages) and why, with the remedy
_Refusal = tuple[Callable[[Any, Collection[str]], Any], str]
REFUSED: dict[str, _Refusal] = {
    "forcerun": (lambda value, rules: _ours(value, rules), _ONCE),
    "touch": (
        lambda value, _: value,
        "times of files mean nothing here: what exists is valid. There is nothing to touch",
    ),
    "executor": (lambda value, _: value == "touch", "times of files mean nothing here; leave it"),
    "no_hooks": (
        lambda value, _: value,
        "a hook tells what could not be made and ends with status 1; leave it out",
    ),
    "groups": (
        lambda value, rules: _ours(value, rules),
        "a job of a cluster does not know what the others in a group make. Jobs hold many items "
        "already: `run.pack` says how many SAEs one trains",
    ),
    "cache": (
        lambda value, _: value is not None,
        "store/ is the cache: sweeps in one folder share what they have in common; leave it out",
    ),
    "all_temp": (
        lambda value, _: value,
        "nothing here is temporary; `keep: {activations: until_trained}` frees the most space",
    ),
    "delete_all_output": (
        lambda value, _: value,
        "items belong to every sweep of a store; `interpsweep gc --delete` deletes those that no "
        "sweep wants, and store/ and results/ can be deleted as a whole",
    ),
    "unneeded_temp_files": (lambda value, _: value, "it is for Snakemake's own use; leave it out"),
    "default_storage_provider": (lambda value, _: value not in (None, "none"), _SHARED),
    "shared_fs_usage": (
        lambda value, _: not {"input-output", "sources", "persistence"} <= set(map(str, value)),
        _SHARED,
    ),
    "immediate_submit": (
        lambda value, _: value,
        "the driver stays to the end, to try again and to show results; leave it out",
    ),
    "generate_unit_tests": (
        lambda value, _: value,
        "its tests compare files that jobs do not write alone; `make test` runs ours",
    ),
    "export_cwl": (
        lambda value, _: value,
        "jobs read store/, which CWL knows nothing of; Snakemake's own file is `Snakefile`",
    ),
}
# refused of a sweep alone: with rules of a user beside it they are for those
_NONE = "no rule of a sweep has {}; leave it out"
ALONE: dict[str, _Refusal] = {
    "force": (lambda value, _: value, _ONCE),
    "forceall": (lambda value, _: value, _ONCE),
    "set_scatter": (lambda value, _: value, _NONE.format("parts that scatter")),
    "draft_notebook": (lambda value, _: value, _NONE.format("a notebook")),
    "edit_notebook": (lambda value, _: value, _NONE.format("a notebook")),
    "containerize": (
        lambda value, _: value,
        "rules have no environments of their own; docs/snakemake.md has a Dockerfile",
    ),
}


def _ours(names: Iterable[str], rules: Collection[str]) -> bool:
    """Whether any of some rules or files is one of the stages'."""
    return any(name in rules or Path(name).parts[:1] == ("store",) for name in names)


def given_options(arguments: list[str] | None = None) -> Namespace:
    """Every option of Snakemake's by its name (`dryrun`, `set_threads`), profiles read.

    Of `arguments`, or of the command line of this process if Snakemake is what it runs (else, in
    a program that uses Snakemake's API, no option is given). Raises UserError for what Snakemake
    cannot read.
    """
    from snakemake.cli import parse_args
    from snakemake.exceptions import WorkflowError

    if arguments is None:
        by_command = "snakemake" in Path(sys.argv[0]).parts[-2:]
        arguments = sys.argv[1:] if by_command else ["--workflow-profile", "none"]
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return parse_args(arguments)[1]
    except (SystemExit, WorkflowError, ValueError) as error:
        lines = said.getvalue().strip().splitlines()
        text = lines[-1] if isinstance(error, SystemExit) and lines else str(error)
        text = text.rpartition(" error: ")[2].splitlines()[0]
        raise UserError(f"Snakemake's options: {text} (`snakemake --help` has them all)") from None


def refuse(options: Namespace, rules: Collection[str], *, alone: bool) -> None:
    """Raise UserError for the first option that a sweep cannot honour.

    `rules` are those of the stages, by the names that they have; `alone` says that no rules of a
    user are beside them.
    """
    for name, (wrong, why) in {**REFUSED, **(ALONE if alone else {})}.items():
        if wrong(getattr(options, name), rules):
            raise UserError(f"--{name.replace('_', '-')}: {why}")
    if alone:
        _check_names(options)
    for rule, threads in options.set_threads.items():
        if not isinstance(threads.raw, int):
            raise UserError(f"--set-threads {rule}: {threads.raw} is not a number of threads")
    for rule, resources in {"": options.default_resources, **options.set_resources}.items():
        where = f"--set-resources {rule}" if rule else "--default-resources"
        for resource, value in (resources or {}).items():
            check_word(f"{where}: {resource}", value.raw)


def _check_names(options: Namespace) -> None:
    """Raise UserError for a rule that Snakemake would not miss."""
    known = {*STAGES, *(f"all_{stage.target}" for stage in STAGES.values()), *OTHER_RULES}
    named = [(name, rule) for name in OF_RULES for rule in getattr(options, name)]
    if options.batch is not None:
        named.append(("batch", options.batch.rulename))
    for name, rule in named:
        if rule not in known and "/" not in rule:  # else a file
            option = name.replace("_", "-")
            raise UserError(f"--{option} {rule}: no rule is called so{nearest(rule, known)}")


def only_looks(options: Namespace) -> bool:
    """Whether nothing is to be made."""
    looks = any(getattr(options, name) for name in LOOKING) or options.executor == "dryrun"
    return looks or reports(options)


def reports(options: Namespace) -> bool:
    """Whether Snakemake writes its report of what there is, and does no more."""
    return bool((options.report or options.reporter) and not options.report_after_run)


def whole_graph(options: Namespace) -> bool:
    """Whether edges are wanted between things that are there: pictures of the graph, the report."""
    wanted = (options.report, options.reporter, *(getattr(options, name) for name in GRAPHS))
    return any(wanted)


def given_config(entries: Iterable[str]) -> dict[str, str]:
    """The entries `key=value` of `--config`, which name sections of the configuration as YAML."""
    # Snakemake's own reading makes every number within `train={widths: [32]}` a text
    return dict(entry.split("=", 1) for entry in entries)


def profile_folder(options: Namespace, snakefile: Path) -> Path | None:
    """The folder of the workflow profile, where Snakemake finds it."""
    name = options.workflow_profile or "default"
    places = (Path(name), Path("profiles", name), snakefile.parent / "profiles" / name)
    return next((place for place in places if name != "none" and place.is_dir()), None)


def provide_for_workers(folder: Path | None) -> None:
    """Name a profile's `dask.yaml` to dask, for `run.engine: dask-slurm`; jobs inherit it."""
    if folder is not None and (workers := folder / "dask.yaml").exists():
        os.environ.setdefault("DASK_CONFIG", str(workers.absolute()))

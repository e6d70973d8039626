"""The command line: ``interpsweep COMMAND``; every stage of the workflow is a command too.

Exit status: 0 done, 1 failed, 2 something the user can fix, 75 stopped on request (the same
command continues).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from interpsweep import __version__
from interpsweep.errors import UserError, for_user
from interpsweep.stages import STAGES

DEFAULT_CONFIG = Path("config/config.yaml")
STOPPED = 75

app = typer.Typer(
    name="interpsweep",
    help="Sweeps of sparse autoencoders: activations, SAEs, splitting and absorption trees, a "
    "census of feature geometry, figures. Start with `interpsweep plan`, then `interpsweep run`.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Config = Annotated[
    list[Path] | None,
    typer.Argument(
        help="YAML files of the sweep, later ones over earlier ones. Default: config/config.yaml"
    ),
]

Profile = Annotated[str, typer.Option(help="A folder under profiles/, for example profiles/slurm.")]


def _configs(paths: list[Path] | None) -> list[Path]:
    return paths or [DEFAULT_CONFIG]


@app.command(
    epilog="Options of Snakemake's own follow after `--`: "
    "interpsweep run mine.yaml -- --until train. docs/snakemake.md says what becomes of each."
)
def run(
    context: typer.Context,
    config: Config = None,
    cores: Annotated[int, typer.Option(help="Jobs at a time; 0 takes all cores.")] = 0,
    target: Annotated[
        str, typer.Option(help="What to make: all, saes, trees, figures, a file of results/ ...")
    ] = "all",
    profile: Profile = "profiles/default",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-n", help="Only say what would run.")
    ] = False,
    plain: Annotated[bool, typer.Option(help="Snakemake's own output, no live display.")] = False,
) -> None:
    """Run a sweep, or finish one that was stopped: the same command does both."""
    from interpsweep.commands.run import run_sweep

    status = run_sweep(
        _configs(config),
        cores=cores,
        target=target,
        profile=profile,
        dry_run=dry_run,
        plain=plain,
        options=context.obj or [],
    )
    raise typer.Exit(status)


@app.command()
def plan(config: Config = None, profile: Profile = "profiles/default") -> None:
    """Say what a sweep means before it runs: items, jobs, tokens, bytes, hours, what exists."""
    from interpsweep.commands.inspect import show_plan
    from interpsweep.profiles import read_profile

    show_plan(_configs(config), read_profile(profile))


@app.command()
def status(config: Config = None) -> None:
    """Say what of a sweep is done, running, missing, and left over from earlier settings."""
    from interpsweep.commands.inspect import show_status

    show_status(_configs(config))


@app.command()
def explain(
    item: Annotated[str, typer.Argument(help="A digest (its first digits do) or a store folder.")],
    config: Config = None,
) -> None:
    """Say why an item is what it is, and how it differs from the nearest one that exists."""
    from interpsweep.commands.inspect import explain_item

    explain_item(item, _configs(config))


@app.command()
def lock(config: Config = None) -> None:
    """Look at everything that comes from outside again, and write its digests beside the config."""
    from interpsweep.commands.store import lock_inputs

    lock_inputs(_configs(config))


@app.command()
def verify(
    full: Annotated[bool, typer.Option(help="Hash every byte; without it, sizes only.")] = False,
    repair: Annotated[
        bool, typer.Option(help="Drop damaged items, so that the next run makes them again.")
    ] = False,
) -> None:
    """Check every item of the store against its manifest."""
    from interpsweep.commands.store import verify_store

    raise typer.Exit(verify_store(full=full, repair=repair))


@app.command()
def gc(
    delete: Annotated[bool, typer.Option(help="Really delete; without it, only list.")] = False,
    grace: Annotated[float, typer.Option(help="Spare items younger than this, in days.")] = 7.0,
) -> None:
    """List (or delete) items of the store that no sweep wants any more."""
    from interpsweep.commands.store import collect_garbage

    collect_garbage(delete=delete, grace_days=grace)


@app.command()
def reclaim(
    activations: Annotated[str, typer.Argument(help="Digest of the activations.")],
    record: Annotated[Path, typer.Option(help="File to write when done.")],
    reader: Annotated[
        list[Path] | None, typer.Argument(help="Index files of the jobs that read them.")
    ] = None,
) -> None:
    """Free the disk space of activations, keeping what is known about them."""
    from interpsweep.commands.store import reclaim_activations

    reclaim_activations(activations, record, readers=reader or [])


@app.command()
def export(
    chosen: Annotated[
        list[str] | None,
        typer.Argument(
            help="Which SAEs: conditions such as `site=blocks.8.*,width=4096` (keys model, site, "
            "layer, architecture, width, sparsity, seed; `*` stands for anything), the first "
            "digits of a digest, or a folder below results/. Several add up. Default: all.",
            show_default=False,
        ),
    ] = None,
    *,
    to: Annotated[Path, typer.Option(help="The folder to make.")],
    config: Annotated[
        list[Path] | None, typer.Option(help="YAML files of the sweep, as for `run`; repeatable.")
    ] = None,
    license_: Annotated[
        str, typer.Option("--license", help="Licence named in the card, such as `mit`.")
    ] = "",
) -> None:
    """Copy finished SAEs into a folder ready for a model hub, with a model card.

    Each SAE becomes a folder in SAELens' format, with its scores and its manifest; README.md is
    the card: what there is, how good it is, how it was trained, how to load it. The same SAEs
    always give the same bytes. For example:

    interpsweep export --config mine.yaml site=blocks.8.hook_resid_pre,seed=0 --to upload

    hf upload USER/REPOSITORY upload
    """
    from interpsweep.commands.export import export_saes

    export_saes(_configs(config), chosen or [], to, license_)


@app.command()
def schema(
    check: Annotated[bool, typer.Option(help="Only say whether the files are up to date.")] = False,
) -> None:
    """Write the generated files: defaults, JSON schema, reference page of the configuration."""
    from interpsweep.config.generate import generate

    raise typer.Exit(generate(Path(), check=check))


@app.command("compile")
def compile_() -> None:
    """Compile all loops now, in a minute, so that the first jobs of a first sweep need not."""
    _one_thread_for_libraries()
    from interpsweep.commands.compile import compile_loops

    compile_loops()


def _version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


_Job = Annotated[Path, typer.Option("--spec", help="The job: store/.specs/<digest>.json.")]
_Index = Annotated[Path | None, typer.Option(help="Index file to write when every item is there.")]
_STAGES_PANEL = "Stages (what the workflow's rules call)"


_Threads = Annotated[int, typer.Option(help="Threads to use; 0: those of the job.", min=0)]


def _run_stage(name: str, spec: Path, index: Path | None, threads: int) -> None:
    from interpsweep.jobs import run_job
    from interpsweep.store import Store

    _one_thread_for_libraries()
    run_job(Store(), spec, index, stage=name, threads=threads)


def _stage_command(name: str) -> Any:
    def command(spec: _Job, index: _Index = None, threads: _Threads = 0) -> None:
        _run_stage(name, spec, index, threads)

    command.__doc__ = f"Stage: make the items of a `{name}` job that the store lacks."
    return command


def _one_thread_for_libraries() -> None:
    """Last bits of a matrix product depend on its number of threads, so there is one, whatever
    `run.threads` says; what can use more without that (our kernels), or must (a model's forward
    passes), asks for them itself. To be called before numpy and torch are imported.
    """
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[variable] = "1"


_tree = typer.Typer(
    help="Show the lineage of a feature (`tree show`). Without a command: the stage, which makes "
    "the items of a `tree` job that the store lacks.",
)


@_tree.callback(invoke_without_command=True)
def _tree_stage(
    context: typer.Context,
    spec: Annotated[Path | None, typer.Option(help="The job: store/.specs/<digest>.json.")] = None,
    index: _Index = None,
    threads: _Threads = 0,
) -> None:
    if context.invoked_subcommand is None:
        if spec is None:
            raise UserError(
                "tree: `interpsweep tree show SITE FEATURE` prints a lineage; the stage itself "
                "needs --spec"
            )
        _run_stage("tree", spec, index, threads)


@_tree.command("show")
def _tree_show(
    site: Annotated[str, typer.Argument(help="Hook name, such as blocks.1.hook_resid_post.")],
    feature: Annotated[
        str,
        typer.Argument(help="`width:latent`, such as 512:37; a latent alone is of the widest SAE."),
    ],
    config: Annotated[
        list[Path] | None, typer.Option(help="YAML files of the sweep, as for `run`; repeatable.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Where a sweep has several models.")] = None,
    architecture: Annotated[str | None, typer.Option(help="Where it has several.")] = None,
    sparsity: Annotated[float | None, typer.Option(help="Where it has several.")] = None,
    seed: Annotated[int | None, typer.Option(help="Where it has several.")] = None,
    contexts: Annotated[
        int, typer.Option(help="Top contexts of the feature; relatives get one.", min=0)
    ] = 5,
    depth: Annotated[int, typer.Option(help="Levels of descendants.", min=0)] = 2,
) -> None:
    """Print where a feature comes from, what becomes of it, and where it fires.

    Each line is a feature (`width:latent`) with its relation to the one above it, how often it
    fires, and the main evidence: the cosine of the directions, how often the parent fires where it
    does and the other way round, and the edge's p. Token by token the contexts show the activation
    and where it is. Finished trees are all it needs; nothing is computed. For example:

    interpsweep tree show blocks.1.hook_resid_post 1024:37 --seed 0

    The columns behind it are those of trees/*/edges.parquet (docs/tables.md), the types are defined
    in docs/methods.md.
    """
    from interpsweep.commands.lineage import show_lineage

    wanted = {"model": model, "architecture": architecture, "sparsity": sparsity, "seed": seed}
    show_lineage(_configs(config), site, feature, wanted, contexts, depth)


for _name in STAGES:
    if _name == "tree":
        app.add_typer(_tree, name="tree")
        continue
    app.command(_name, rich_help_panel=_STAGES_PANEL)(_stage_command(_name))


def main() -> None:
    """Run the command line; errors of the user end in one message and status 2."""
    from interpsweep.context import Stopped

    arguments, options = sys.argv[1:], []
    if arguments[:1] == ["run"] and "--" in arguments:  # what follows is Snakemake's
        at = arguments.index("--")
        arguments, options = arguments[:at], arguments[at + 1 :]
    try:
        app(arguments, obj=options)
    except (UserError, OSError) as error:
        said = for_user(error)
        print(f"interpsweep: {said}", file=sys.stderr)
        sys.exit(2)
    except Stopped as stopped:
        print(f"interpsweep: {stopped}", file=sys.stderr)
        sys.exit(STOPPED)

"""The root of the configuration: one file is one sweep."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from interpsweep.config.activations import CaptureSettings
from interpsweep.config.analysis import (
    ChildrenSettings,
    ClaimsSettings,
    ComplexesSettings,
    ConceptsSettings,
    GeometrySettings,
    MatchSettings,
    RecoverySettings,
    TreeSettings,
)
from interpsweep.config.base import Section, field, merge_values
from interpsweep.config.corpora import CorpusSettings, GeneratedCorpus
from interpsweep.config.inference import EncodeSettings, EvaluateSettings
from interpsweep.config.intervene import InterveneSettings
from interpsweep.config.landscape import LandscapeSettings
from interpsweep.config.mask import MaskSettings
from interpsweep.config.meta import MetaSettings
from interpsweep.config.mistakes import what_is_wrong
from interpsweep.config.models import Model, TrainedModel
from interpsweep.config.pictures import FiguresSection, ReportSection
from interpsweep.config.probes import ProbesSettings
from interpsweep.config.saes import TrainSection


class KeepSection(Section):
    """What stays on disk."""

    activations: Literal["always", "until_trained"] = field(
        "always",
        "Whether activations stay, or are reclaimed once everything planned has read them "
        "(a later edit that needs them captures them again)",
        identity=False,
    )


class RunSection(Section):
    """How jobs run. Nothing here changes a result, so nothing is redone when it changes."""

    device: str = field(
        "auto",
        "Torch device: auto, cpu, cuda or cuda:N",
        identity=False,
        pattern=r"^(auto|cpu|cuda(:\d+)?)$",
    )
    threads: int = field(1, "Threads of one job's kernels and forward passes", identity=False, ge=1)
    pack: int = field(
        0,
        "SAEs per training job; 0 puts all SAEs of a site into one job fed by one stream",
        identity=False,
        ge=0,
    )
    engine: Literal["serial", "threads", "processes", "dask", "dask-slurm"] = field(
        "threads",
        "What maps a function over blocks of data inside a job: threads or processes of this job, "
        "dask workers on its node, or dask workers that are SLURM jobs of their own (with what "
        "dask's configuration says under jobqueue.slurm)",
        identity=False,
    )
    workers: int = field(1, "Workers of that map", identity=False, ge=1)
    checkpoint_seconds: float = field(
        60.0,
        "Time between checkpoints of a training, longer where writing them would take more than "
        "3 % of the time; 0 writes them after every step",
        unit="seconds",
        identity=False,
        ge=0,
    )
    memory: int | None = field(
        None,
        "Memory asked for per job on a cluster; null estimates it for each job",
        unit="MB",
        identity=False,
        ge=500,
    )
    runtime: int | None = field(
        None,
        "Time asked for per job on a cluster; null estimates it for each job",
        unit="minutes",
        identity=False,
        ge=1,
    )
    gpu_tflops: float = field(
        10.0,
        "Speed assumed of a GPU for estimates of time, until the store holds jobs to learn from",
        unit="TFLOP/s",
        identity=False,
        gt=0,
    )
    cpu_tflops: float = field(
        0.05,
        "The same of one thread of a processor",
        unit="TFLOP/s",
        identity=False,
        gt=0,
    )
    leftovers: Literal["wait", "cancel"] = field(
        "wait",
        "What a new run does about SLURM jobs that an earlier one left running: wait for them, or "
        "cancel them (they save their state and are submitted again)",
        identity=False,
    )


class Overridable(Section):
    """The sections that a model or a site can override for itself."""

    corpus: Annotated[CorpusSettings, Field(discriminator="source")] = field(
        GeneratedCorpus, "Where the tokens come from"
    )
    capture: CaptureSettings = field(CaptureSettings, "Activation extraction")
    mask: MaskSettings = field(MaskSettings, "Which of the captured rows are used")
    train: TrainSection = field(TrainSection, "The SAEs to train at every site")
    evaluate: EvaluateSettings = field(EvaluateSettings, "Quality of every SAE")
    encode: EncodeSettings = field(EncodeSettings, "Sparse codes on the analysis tokens")
    match: MatchSettings = field(MatchSettings, "Similarity between dictionaries")
    tree: TreeSettings = field(TreeSettings, "Splitting and absorption trees")
    geometry: GeometrySettings = field(GeometrySettings, "Census of feature geometry")
    landscape: LandscapeSettings = field(LandscapeSettings, "A dictionary as a whole")
    meta: MetaSettings = field(MetaSettings, "SAEs of decoder rows: parents from weights alone")
    probes: ProbesSettings = field(ProbesSettings, "Absorption as probes see it (an option)")
    concepts: ConceptsSettings = field(ConceptsSettings, "Geometry of labelled concepts")
    recovery: RecoverySettings = field(RecoverySettings, "Labelled concepts in the latents of SAEs")
    intervene: InterveneSettings = field(
        InterveneSettings, "Acting on labelled concepts in a forward pass (an option)"
    )
    children: ChildrenSettings = field(ChildrenSettings, "Geometry of the children in trees")
    complexes: ComplexesSettings = field(ComplexesSettings, "Topology of matches between layers")


# the corpus that a model brings with it, and why
_BRINGS = {
    "trained": ("generated", "is trained on a generated language"),
    "world": ("generated", "is a world"),
    "activations": ("activations", "is a folder of activations, which has its tokens"),
}


def _check_corpus(model: Model, settings: CorpusSettings) -> None:
    """Raise ValueError for a corpus that does not belong to a model."""
    corpus, (brought, why) = settings.source, _BRINGS.get(model.source, (None, ""))
    if brought is not None and corpus != brought:
        raise ValueError(f"models: {model.name!r} {why}, so its corpus must be `source: {brought}`")
    owners = [source for source, (name, _) in _BRINGS.items() if name == corpus]
    if brought is None and owners:
        raise ValueError(
            f"models: {model.name!r} is pretrained, so it needs a corpus of text; `{corpus}` "
            f"exists only for models of source {' or '.join(f'`{o}`' for o in owners)}"
        )
    if isinstance(model, TrainedModel) and isinstance(settings, GeneratedCorpus):
        n_ctx = model.architecture.n_ctx
        if settings.context_length > n_ctx:
            raise ValueError(
                f"corpus: context_length {settings.context_length} is more than the n_ctx {n_ctx} "
                f"of model {model.name!r}"
            )


class Sweep(Overridable):
    """A sweep: models x sites x architectures x widths x sparsities x seeds, and its analysis."""

    sweep: str = field(
        description="Name of the sweep; its results appear under results/<name>/",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$",
        identity=False,
    )
    label: str = field("", "A note for people; changes nothing", identity=False, max_length=500)
    models: list[Model] = field(description="The models to look into", min_length=1)
    claims: ClaimsSettings = field(ClaimsSettings, "q-values and replication over the sweep")
    figures: FiguresSection = field(FiguresSection, "Which figures, and their style")
    report: ReportSection = field(ReportSection, "The browsable atlas")
    keep: KeepSection = field(KeepSection, "What stays on disk", identity=False)
    run: RunSection = field(RunSection, "How jobs run", identity=False)

    @model_validator(mode="after")
    def _sound(self) -> Sweep:
        names = [model.name for model in self.models]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"models: two models are called {name!r}; names must differ")
        for model in self.models:
            sections = self.sections(model.name)
            for site in model.site_names:
                if "corpus" in model.site_overrides(site):
                    raise ValueError(
                        f"models[{names.index(model.name)}].sites[{model.site_entry(site)}]"
                        ".overrides.corpus: all sites of a model read one corpus; override it for "
                        "the model"
                    )
            self._check_sites_have_saes(model)
            _check_corpus(model, sections.corpus)
        return self

    def _check_sites_have_saes(self, model: Model) -> None:
        """Raise ValueError for a site of a model at which nothing is trained or imported.

        A site that transcoders of other sites predict needs no SAEs.
        """
        shared = self.sections(model.name)
        own = {s: self.sections(model.name, s) for s in model.site_names if model.site_overrides(s)}
        trained = {site: own.get(site, shared).train for site in model.site_names}
        empty = [s for s, train in trained.items() if not train.widths and not model.imports(s)]
        if not empty:
            return
        predicted = {
            sae.output_at(site) for site, train in trained.items() for sae in train.expand()
        }
        for site in empty:
            if site not in predicted:
                raise ValueError(
                    f"models: {model.name!r} has no SAEs at {site}: train.widths is empty, none of "
                    "its `saes` is for this site, and no transcoder predicts it"
                )

    @cached_property
    def _written(self) -> dict[str, Any]:
        """What the files say of the sections that can be overridden."""
        return self.model_dump(
            include=set(Overridable.model_fields), exclude_unset=True, mode="json"
        )

    def sections(self, model: str, site: str | None = None) -> Overridable:
        """The sections as they hold for a model (and one of its sites): overrides applied."""
        place, entry = next((i, m) for i, m in enumerate(self.models) if m.name == model)
        merged = merge_values(self._written, entry.overrides)
        if site is not None:
            merged = merge_values(merged, entry.site_overrides(site))
        try:
            return Overridable.model_validate(merged)
        except ValidationError as error:
            first: Any = error.errors()[0]
            where = ".".join(["overrides", *(str(part) for part in first["loc"])])
            below = f".sites[{entry.site_entry(site)}]" if site else ""
            what = what_is_wrong(first, Overridable)
            raise ValueError(f"models[{place}]{below}.{where}: {what}") from None

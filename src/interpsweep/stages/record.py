"""What is said about a stage in one place: its record.

Rules, targets, jobs, estimates, what the claims read and the pages about stages come from the
records; no other file lists the stages. Records are imported by every small process of a run, so
nothing heavy is imported here or beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field
from typing import Any, Literal

from interpsweep.spec import Spec
from interpsweep.stages.sizes import MB, Sizes, Work

# bytes of a process of ours with the engine imported, and of the Snakemakes around it
PROCESS = {"torch": 1300 * MB, "numpy": 900 * MB}


def reading_inputs(sizes: Sizes) -> Work:
    """Work of a stage that takes as long as reading its inputs does."""
    return Work(seconds=3.0 + 0.2 * sizes.inputs)


def held_inputs(sizes: Sizes) -> float:
    """Bytes of inputs that a job holds: blocks of activations, if it reads any."""
    if "activations" in sizes.item.spec["inputs"]:
        return sizes.workers * 24.0 * sizes.chunk
    return 3 * MB * sizes.inputs


def held_by_answers(sizes: Sizes) -> float:
    """Bytes of a model that is run to its logits, a batch of tokens at a time."""
    shape, tokens = sizes.shape, sizes.settings["batch_tokens"]
    return sizes.model_bytes + tokens * (shape.d_model * 160.0 + shape.vocabulary * 12)


def little(_sizes: Sizes) -> float:
    """Bytes that an item without SAEs takes, beside its inputs."""
    return 200 * MB


@dataclass(frozen=True)
class Place:
    """A site of a model in a plan, an SAE there, or a family of them, for the stages that make one
    item of each.
    """

    sections: Any  # of the configuration, as they hold at the site
    site: str
    model: dict[str, Any]  # its identity
    labelled: bool  # whether its corpus has labels
    captured: Mapping[str, str]  # activations of every site of the model
    masked: Mapping[str, str]  # the masks of those
    # digests by role: `model` if it is trained here, `corpus`, `activations`, `masks` (the site's
    # own first); of an SAE also `sae`, `targets` if it predicts another site, and what is planned
    # of it already, by kind; of a family also `tree` if it has one, `saes` from narrow to wide,
    # `levels` (trees of nested levels), and lists of what is planned of each of the SAEs, by kind
    read: dict[str, Any]
    output: str | None = None  # the site that it predicts
    seed: int = 0  # of a family
    places: Mapping[str, dict[str, Any]] = field(default_factory=dict)  # of what a family reads

    def inputs(self, *roles: str) -> dict[str, Any]:
        """Those of some roles that there are."""
        return {role: self.read[role] for role in roles if role in self.read}

    @property
    def space(self) -> dict[str, Any]:
        """The activations that decoder rows live among, and their masks; see `space_of`."""
        return space_of(self.read)


def space_of(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The activations that an SAE's decoder rows live among: those that a transcoder predicts.

    `inputs` are the SAE's. Its rows are those that the masks of both sites leave.
    """
    if "targets" not in inputs:
        return {"activations": inputs["activations"], "masks": inputs["masks"]}
    return {"activations": inputs["targets"], "masks": inputs["masks"][::-1]}


Wanted = tuple[dict[str, Any], dict[str, Any]] | None  # settings and inputs of an item, if any


@dataclass(frozen=True)
class Stage:
    """One kind of work. Its rule in the workflow has its name."""

    name: str
    makes: str  # one line for people
    noun: str  # what its items are called, in the plural
    # goes up whenever a change of code changes results: it is in every spec of the stage, so
    # raising it makes the stage's items again, and whatever depends on them
    version: int
    module: str  # its `run` makes the items; imported by the job that runs it
    settings: str  # module:class of the settings that a spec of the stage holds
    kind: str  # folder in the store; the claims have its items under this role
    target: str  # name under results/; `all_<target>` is what a user types
    reads: tuple[str, ...]  # stages whose items are inputs
    files: tuple[str, ...]  # of an item, that a user's own rule may name, if the item has them

    # where it makes one item of each site, SAE or family, which of them; the others are in plan/
    of_each: tuple[Literal["site", "sae", "family"], ...] = ()
    wants: Callable[[Place], Wanted] | None = None

    # what one job makes: the items alike in these coordinates
    together: tuple[str, ...] = ("model", "site")
    shown_by: tuple[str, ...] | None = None  # where results/ shows them, if not so
    # how: a folder of each item, or an item's files at the top, or pictures in figures/
    shows: Literal["folders", "files", "pictures"] = "folders"
    packed: bool = False  # `run.pack` cuts its jobs; what they hold is on the GPU at once
    bank: bool = False  # `run` gets all items of a job: one pass over what they share
    label: Callable[[dict[str, Any]], str] | None = None  # readable name, by coordinates
    soon: bool = False  # its jobs go first when there is a choice: people wait to look at them
    # goes without inputs that could not be made, and says so: True leaves them out of its lists; a
    # function makes the spec that is left of one and of what is lost, None if nothing can be made
    gathers: bool | Callable[[Spec, Set[str]], Spec | None] = False
    opens_outside: bool = True  # what its settings name by content is opened by its jobs

    engine: Literal["torch", "numpy"] = "numpy"
    gpu: bool = False  # profits from one; the profiles that come with the workflow give it one
    work: Callable[[Sizes], Work] = reading_inputs
    one_pass: bool = False  # tokens and operations are those of one item, however many there are
    held: Callable[[Sizes], float] = held_inputs  # bytes that a job holds once
    each: Callable[[Sizes], float] = little  # bytes of each item
    at_once: bool = False  # all items of a job are in memory together, not one after the other


def sae_label(at: dict[str, Any], skip: str = "") -> str:
    """A name of an SAE among those of its site, from its coordinates; one can be left out."""
    parts = (
        ("architecture", "{}"),
        ("d_sae", "width{}"),
        ("sparsity", "sparsity{:.12g}"),
        ("seed", "seed{}"),
    )
    name = "-".join(text.format(at[key]) for key, text in parts if key != skip and key in at)
    return name.replace("+", "")  # of 1e+06

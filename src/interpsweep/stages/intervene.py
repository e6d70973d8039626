"""Stage ``intervene``: what a model says when a value in its activations is changed (an option)."""

from interpsweep.config.sites import MODELLESS
from interpsweep.stages.record import Place, Sizes, Stage, Wanted, Work, held_by_answers

ACTED_ON = 6  # subspaces, about: two each of three concepts
PROMPTS = 50  # forms and values of one of them, about
LENGTH = 12  # tokens of a prompt, about


def _work(s: Sizes) -> Work:
    """A forward pass over the prompts for every action and draw."""
    settings = s.settings
    acts = len(settings["steps"]) * ("shift" in settings["actions"]) + (
        "ablate" in settings["actions"]
    )
    passes = ACTED_ON * acts * (1 + settings["draws"])
    tokens = PROMPTS * settings["prompts"] * LENGTH
    return Work(tokens, 0, 2.0 * s.shape.parameters * passes * tokens, 5.0 + 0.01 * passes)


def _wants(p: Place) -> Wanted:
    intervene = p.sections.intervene
    if not intervene.actions or not p.labelled or p.model["source"] in MODELLESS:
        return None
    read = p.inputs("model", "corpus", "concepts")
    if "sae" in p.read:
        if p.output is not None:  # a transcoder's directions are of another site
            return None
        read |= {"sae": p.read["sae"], "recovery": p.read["recoveries"]}
    return {**intervene.identity(), "site": p.site, "model": p.model}, read


STAGE = Stage(
    name="intervene",
    version=1,
    makes="what a model answers when a value in its activations is changed (an option)",
    noun="interventions",
    module="interpsweep.interventions.intervene",
    settings="interpsweep.config.intervene:InterveneSettings",
    kind="interventions",
    target="interventions",
    reads=("model", "corpus", "train", "import", "concepts", "recovery"),
    files=("effects.parquet", "summary.json"),
    of_each=("site", "sae"),
    wants=_wants,
    bank=True,
    engine="torch",
    gpu=True,
    work=_work,
    held=held_by_answers,
)

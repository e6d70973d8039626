"""Stage ``probe``: labelled concepts by probes (an option): k-sparse probing, absorption."""

from interpsweep.config.sites import MODELLESS, next_site
from interpsweep.stages.record import PROCESS, Place, Sizes, Stage, Wanted, Work, held_inputs
from interpsweep.stages.sizes import MB

PROBED = 30  # values that are probed, about


def _work(s: Sizes) -> Work:
    """A sparse probe for each value, and of the null."""
    settings = s.settings
    fits = PROBED + 4 * settings["draws"]
    if "sparse" in settings["methods"]:  # its baselines are shared
        fits += 2 * PROBED * len(settings["sparse_latents"])
    seconds = 4e-5 * min(settings["tokens"], s.rows) * fits
    if "ablation" not in settings["methods"]:
        return Work(seconds=seconds)
    flop = 0.0
    if "later_site" in settings:  # at most; a forward pass and a gradient, each through all of it
        passes = (PROBED + settings["draws"]) * settings["ablated"] * settings["steps"]
        flop = 4.0 * s.shape.parameters * passes * s.corpus.get("context_length", 0)
    # probes of the random concepts, at two sites
    return Work(flop=flop, seconds=2 * seconds)


def _held(s: Sizes) -> float:
    """Where ablation judges: torch, the model, and the activations between two sites."""
    if "model" not in s.settings:
        return held_inputs(s)
    between = s.settings["batch_tokens"] * s.shape.d_model * 320.0
    return PROCESS["torch"] - PROCESS["numpy"] + s.model_bytes + between


def _each(s: Sizes) -> float:
    """Samples of a dozen concepts, in float64."""
    sample = s.settings["tokens"] * s.shape.d_model
    return 16.0 * s.cells + 12 * 8.0 * sample + 400 * MB


def _wants(p: Place) -> Wanted:
    probes = p.sections.probes
    if not probes.methods or not (p.labelled or probes.first_letters):
        return None
    if p.output is not None:  # a transcoder reconstructs other activations than it reads
        return None
    settings, read = probes.identity(), p.inputs("corpus", "activations", "masks", "sae", "codes")
    if "ablation" not in probes.methods:
        return settings, read
    settings["site"] = p.site
    later = None if p.model["source"] in MODELLESS else next_site(p.site, p.captured)
    if later is None:
        return settings, read
    settings |= {"later_site": later, "model": p.model}
    return settings, {**read, **p.inputs("model"), "later": p.captured[later]}


STAGE = Stage(
    name="probe",
    version=4,
    makes="k-sparse probing and absorption of labelled concepts (an option)",
    noun="probed concepts",
    module="interpsweep.saes.probe",
    settings="interpsweep.config.probes:ProbesSettings",
    kind="probes",
    target="probes",
    reads=("model", "corpus", "capture", "mask", "train", "import", "encode"),
    files=("values.parquet", "absorbers.parquet", "sparse.parquet", "summary.json"),
    of_each=("sae",),
    wants=_wants,
    bank=True,
    work=_work,
    held=_held,
    each=_each,
)

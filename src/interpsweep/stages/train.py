"""Stage ``train``: SAEs in SAELens format, a bank of them on one stream."""

from interpsweep.stages.record import Sizes, Stage, Work


def _work(s: Sizes) -> Work:
    seen = s.settings["tokens"]
    steps = seen / s.settings["batch_size"]
    return Work(seen, 8 * s.cells, 12.0 * s.cells * seen, 3e-3 * steps)


def _held(s: Sizes) -> float:
    """Three blocks of chunks, and one being permuted."""
    return 4 * s.settings["block_chunks"] * 2.0 * s.chunk


def _each(s: Sizes) -> float:
    """Weights, gradients, optimiser, and a batch of pre-activations."""
    return 48.0 * s.cells + s.settings["batch_size"] * s.width * 16.0


STAGE = Stage(
    name="train",
    version=4,
    makes="SAEs in SAELens format, a bank of them on one stream",
    noun="SAEs",
    module="interpsweep.saes.train",
    settings="interpsweep.config.saes:TrainSettings",
    kind="saes",
    target="saes",
    reads=("corpus", "capture", "mask"),
    files=("cfg.json", "sae_weights.safetensors", "sparsity.safetensors", "training.parquet"),
    packed=True,
    bank=True,
    engine="torch",
    gpu=True,
    work=_work,
    held=_held,
    each=_each,
    at_once=True,
)

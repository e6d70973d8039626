"""Stage ``model``: a small transformer trained on the planted language."""

from interpsweep.stages.record import Sizes, Stage, Work


def _work(s: Sizes) -> Work:
    training = s.settings["training"]
    seen = training["steps"] * training["batch_size"] * s.settings["architecture"]["n_ctx"]
    flop = 6.0 * s.shape.parameters * seen
    return Work(seen, 4 * s.shape.parameters, flop, 1e-2 * training["steps"])


def _held(s: Sizes) -> float:
    return 3 * s.model_bytes


STAGE = Stage(
    name="model",
    version=1,
    makes="a small transformer trained on the planted language",
    noun="trained models",
    module="interpsweep.models.train",
    settings="interpsweep.config.models:TrainModelSettings",
    kind="models",
    target="model",
    reads=(),
    files=("config.json", "model.safetensors", "training.parquet"),
    together=("model",),
    engine="torch",
    gpu=True,
    work=_work,
    held=_held,
)

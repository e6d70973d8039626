"""Stage ``model``: a small transformer trained here, or a checkpoint made of a GGUF file."""

from interpsweep.stages.record import Sizes, Stage, Work


def _work(s: Sizes) -> Work:
    if s.settings["source"] == "gguf":
        size = 4 * (s.shape.parameters + s.shape.vocabulary * s.shape.d_model)
        return Work(0, size, seconds=20.0 + 1e-8 * size)
    training = s.settings["training"]
    seen = training["steps"] * training["batch_size"] * s.settings["architecture"]["n_ctx"]
    flop = 6.0 * s.shape.parameters * seen
    return Work(seen, 4 * s.shape.parameters, flop, 1e-2 * training["steps"])


def _held(s: Sizes) -> float:
    return 3 * s.model_bytes


STAGE = Stage(
    name="model",
    version=1,
    makes="a small transformer trained on the planted language, or a checkpoint of a GGUF file",
    noun="models made here",
    module="interpsweep.models.make",
    settings="interpsweep.config.models:ModelItem",
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

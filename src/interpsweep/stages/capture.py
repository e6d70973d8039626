"""Stage ``capture``: one Zarr array of activations per site, all sites in one forward pass."""

from interpsweep.stages.record import Sizes, Stage, Work
from interpsweep.stages.sizes import BYTES


def _work(s: Sizes) -> Work:
    size = s.tokens * (s.shape.d_model * BYTES[s.settings["dtype"]] + 16)
    return Work(s.tokens, size, 2.0 * s.shape.parameters * s.tokens, 1.5e-5 * s.tokens)


def _held(s: Sizes) -> float:
    return s.model_bytes + s.settings["batch_tokens"] * s.shape.d_model * 160.0


def _each(s: Sizes) -> float:
    """Chunks being filled and written."""
    return 12.0 * s.chunk


STAGE = Stage(
    name="capture",
    version=2,
    makes="one Zarr array of activations per site, all sites in one forward pass",
    noun="activations",
    module="interpsweep.activations.capture",
    settings="interpsweep.config.activations:CaptureItem",
    kind="activations",
    target="activations",
    reads=("model", "corpus"),
    files=("splits.json",),
    together=("model",),
    shown_by=("model", "site"),
    bank=True,
    engine="torch",
    gpu=True,
    work=_work,
    one_pass=True,
    held=_held,
    each=_each,
    at_once=True,
)

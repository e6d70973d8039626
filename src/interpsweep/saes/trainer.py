"""Training of one SAE: optimiser, schedules, dead latents, log, checkpoints.

A `Trainer` never looks at another SAE, so what shares a stream with it cannot change its result.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from interpsweep.activations.artifact import Statistics
from interpsweep.config.saes import TrainSettings
from interpsweep.errors import UserError
from interpsweep.saes.architectures import architecture
from interpsweep.saes.artifact import write_dictionary
from interpsweep.saes.describe import reshaping
from interpsweep.saes.optimiser import Adam, clip_factor
from interpsweep.tables import write_parquet

LOG = "training.parquet"
LOG_COLUMNS = ("step", "tokens", "loss", "fvu", "l0", "dead_fraction", "learning_rate")
RATE_SHARE = 0.1  # the firing rates that are exported come from this last share of the steps
CHECK_EVERY = 64  # steps between looks at the loss on a GPU, where each one waits; else every one


class Diverged(Exception):
    """The loss of an SAE is not finite."""


@dataclass(frozen=True)
class Side:
    """Activations as a training sees them: multiplied by `scale`."""

    scale: float
    centre: Tensor  # (d,) float32, a centre of the scaled activations
    variance: float  # their total variance
    place: str = ""  # the site's name


class Trainer:
    """One SAE being trained on scaled activations: those of `wanted`.

    A transcoder reads other activations, those of `read`.
    """

    def __init__(
        self,
        settings: TrainSettings,
        wanted: Side,
        read: Side | None = None,
        device: str = "cpu",
    ) -> None:
        self.settings, self.wanted, self.read, self.device = settings, wanted, read, device
        d_out, make = len(wanted.centre), architecture(settings.architecture)
        if read is None:
            self.sae = make(settings, d_out, device, place=wanted.place)
        else:
            self.sae = make(settings, len(read.centre), device, d_out, wanted.place)
            self.sae.centre_input(read.centre.to(device))
        self.sae.parameters["b_dec"].copy_(wanted.centre)
        factors = [self.sae.rate_factor(name) for name in self.sae.parameters]
        self.adam = Adam(list(self.sae.parameters.values()), factors)
        self.done = 0  # steps
        self.log: list[list[float]] = []
        d_sae = settings.d_sae
        self.silent = torch.zeros(d_sae, dtype=torch.int64, device=device)  # tokens since it fired
        self.recent = torch.zeros(d_sae, dtype=torch.int64, device=device)  # rows fired, at the end
        # sums since the last row of the log: loss, squared error, fired entries; first bad step
        self.sums = torch.zeros(3, dtype=torch.float64, device=device)
        self.bad = torch.full((), -1, dtype=torch.int64, device=device)

    @property
    def finished(self) -> bool:
        """Whether all steps are done."""
        return self.done >= self.settings.steps

    # ------------------------------------------------------------------ one step

    def step(self, x: Tensor, target: Tensor | None = None) -> None:
        """One optimiser step on scaled activations (batch, d_in). Raises Diverged.

        A transcoder also needs the scaled `target` (batch, d_out).
        """
        number, total = self.done, self.settings.steps
        result = self.sae.step(x, x if target is None else target, number / total, self._dead())
        self._watch(result.loss, number)
        gradients = [result.gradients[name] for name in self.sae.parameters]
        largest = self.settings.gradient_clip
        factor = None if largest is None else clip_factor(gradients, largest)
        self.adam.step(gradients, learning_rate(self.settings, number), factor)
        self.sae.after_update()
        self._count(result.loss, result.squared_error, result.fired, len(x))
        self.done += 1
        if self.done % max(1, total // self.settings.log_points) == 0 or self.finished:
            self._write_log_row()
        if self.finished:
            self.check()

    def _dead(self) -> Tensor | None:
        """Latents for the auxiliary loss, if there are any."""
        s = self.settings
        if s.auxiliary_coefficient == 0 or self.done * s.batch_size < s.dead_tokens:
            return None
        dead = self.silent >= s.dead_tokens
        return dead if bool(dead.any()) else None

    def _watch(self, loss: Tensor, number: int) -> None:
        if self.device == "cpu":
            if not math.isfinite(loss):
                self.bad.fill_(number)
                self.check()
            return
        self.bad = torch.where((self.bad < 0) & ~loss.isfinite(), number, self.bad)
        if number % CHECK_EVERY == 0:
            self.check()

    def check(self) -> None:
        """Raise Diverged if a loss was not finite."""
        if int(self.bad) >= 0:
            raise Diverged(f"the loss at step {int(self.bad)} is not finite")

    def _count(self, loss: Tensor, squared: Tensor, fired: Tensor, batch: int) -> None:
        self.sums += torch.stack([loss, squared, fired.sum() / batch])
        self.silent.add_(batch).masked_fill_(fired > 0, 0)
        if self.done >= self.settings.steps - self._recent_steps:
            self.recent += fired

    @property
    def _recent_steps(self) -> int:
        return max(1, round(RATE_SHARE * self.settings.steps))

    def _write_log_row(self) -> None:
        done = self.done - (int(self.log[-1][0]) if self.log else 0)
        loss, squared, l0 = (self.sums / done).tolist()
        self.sums.zero_()
        rate = learning_rate(self.settings, self.done - 1)
        tokens = self.done * self.settings.batch_size
        fvu = squared / self.wanted.variance
        self.log.append([self.done, tokens, loss, fvu, l0, self.dead_fraction(), rate])

    @property
    def dead_window(self) -> int:
        """Tokens over which a latent must have fired to be alive."""
        return min(self.settings.dead_tokens, self.done * self.settings.batch_size)

    def dead_fraction(self) -> float:
        """Share of latents that have not fired within `dead_window`."""
        return float((self.silent >= self.dead_window).double().mean())

    # ------------------------------------------------------------------ the result

    def write(self, out: Path, metadata: dict[str, Any]) -> dict[str, Any]:
        """Write the SAE directory and its log into `out`; return the metrics of the last row."""
        export = self.sae.export(self.wanted.scale)
        if self.read is not None:  # which unscaled activations come in by another factor
            ratio = self.read.scale / self.wanted.scale
            export.tensors["W_enc"] = export.tensors["W_enc"] * ratio
        rate = self.recent.double() / (self._recent_steps * self.settings.batch_size)
        table = pd.DataFrame(self.log, columns=list(LOG_COLUMNS))
        last = table.iloc[-1]
        about = {
            **metadata,
            **export.metadata,
            "training_architecture": self.settings.architecture,
            "training_architecture_details": self.settings.identity(),
            "l0": float(last["l0"]),
            "num_dead_features": round(float(last["dead_fraction"]) * self.settings.d_sae),
        }
        write_dictionary(
            out,
            export.architecture,
            {name: tensor.cpu().numpy() for name, tensor in export.tensors.items()},
            firing_rate=rate.cpu().numpy(),
            metadata=about,
            extra={"reshape_activations": reshaping(metadata.get("hook_name"))},
            transcoder=self.read is not None,
            **export.extra,
        )
        write_parquet(table.astype({"step": "int64", "tokens": "int64"}), out / LOG)
        return {
            **{name: float(last[name]) for name in ("loss", "fvu", "l0", "dead_fraction")},
            "dead_window_tokens": self.dead_window,
            "steps": self.done,
            "tokens": self.done * self.settings.batch_size,
        }

    # ------------------------------------------------------------------ checkpoints

    def state(self) -> dict[str, Tensor]:
        """Everything that the next step depends on. Raises Diverged if it is not sound."""
        self.check()
        state = {f"parameters.{name}": t for name, t in self.sae.parameters.items()}
        if not all(bool(t.isfinite().all()) for t in state.values()):
            raise Diverged(f"the weights after step {self.done - 1} are not finite")
        state |= {f"buffers.{name}": t for name, t in self.sae.buffers.items()}
        state |= {f"adam.{name}": t for name, t in self.adam.state().items()}
        state |= {"silent": self.silent, "recent": self.recent, "sums": self.sums}
        rows = torch.tensor(self.log, dtype=torch.float64).view(-1, len(LOG_COLUMNS))
        return state | {"log": rows}

    def resume(self, step: int, state: dict[str, Tensor]) -> None:
        """Go on from what `state` returned after `step` steps."""
        self.done = step
        for kind, tensors in (("parameters", self.sae.parameters), ("buffers", self.sae.buffers)):
            for name, tensor in tensors.items():
                tensor.copy_(state[f"{kind}.{name}"])
        for name in ("silent", "recent", "sums"):
            getattr(self, name).copy_(state[name])
        self.log = state["log"].tolist()
        adam = {name.removeprefix("adam."): t for name, t in state.items()}
        self.adam.load(adam)


def learning_rate(settings: TrainSettings, step: int) -> float:
    """Linear warm-up, constant, linear decay to zero; `step` counts from 0."""
    total = settings.steps
    rising = (step + 1) / max(1.0, settings.warm_up * total)
    falling = (total - step) / max(1.0, settings.decay * total)
    return settings.peak_learning_rate * min(1.0, rising, falling)


def activation_scale(settings: TrainSettings, statistics: Statistics, d_in: int) -> float:
    """The factor that `scale_activations` means for activations with these statistics."""
    if settings.scale_activations == "none":
        return 1.0
    norm = statistics.mean_norm
    size = norm if settings.scale_activations == "norm" else math.sqrt(total_variance(statistics))
    if not (math.isfinite(size) and size > 0):
        raise UserError(
            f"activations: their size is {size}; nothing can be trained on them. "
            "Check the model and the site"
        )
    return math.sqrt(d_in) / size


def total_variance(statistics: Statistics) -> float:
    """Sum over dimensions of the activations' variance."""
    mean = statistics.mean
    return float(statistics.second_moment.trace() - mean @ mean)

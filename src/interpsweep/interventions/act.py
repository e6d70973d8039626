"""What a model answers while the activations at the slots of its prompts are changed.

A change moves an activation within the subspace of a concept and leaves the rest of it as it is:
its coordinates there become those of a class mean. Nothing before the site depends on that, so the
activations that are changed are known from one look at the model as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch

from interpsweep.config.intervene import InterveneSettings
from interpsweep.geometry.nulls import upper_p
from interpsweep.interventions.prompts import CYCLIC, Batch, Ints, Questions
from interpsweep.interventions.subspaces import Floats, RandomRows, Subspace
from interpsweep.models.forward import forward_logits, forward_sites, forward_with_replacement
from interpsweep.models.load import LoadedModel


class Asked(NamedTuple):
    """Prompts of one length, as the model is."""

    batch: Batch
    x: Floats  # (m, d) activations in their slots, row by row
    logits: Floats  # (n, k) of the values as answers


class Site:
    """A site of a model with the prompts that it was asked."""

    def __init__(self, model: LoadedModel, site: str) -> None:
        self._model, self._site = model, site
        self._n, self._sum, self._squares = 0, np.zeros(1), np.zeros((1, 1))

    def ask(self, questions: Questions) -> list[Asked]:
        """Every prompt of a concept, put to the model as it is."""
        made = []
        for batch in questions.batches:
            tokens = torch.from_numpy(batch.tokens)
            acts = forward_sites(self._model, tokens, [self._site])[self._site].float().cpu()
            self._see(acts[:, 1:].flatten(0, 1).numpy().astype(np.float64))
            x = acts[torch.from_numpy(batch.values >= 0)].numpy().astype(np.float64)
            logits = forward_logits(self._model, tokens)
            made.append(Asked(batch, x, _answers(logits, questions.answers)))
        return made

    def _see(self, x: Floats) -> None:
        """Add activations (m, d) to the moments."""
        self._n += len(x)
        self._sum = self._sum + x.sum(axis=0)
        self._squares = self._squares + x.T @ x

    def covariance(self) -> Floats:
        """Of the activations (d, d) at all tokens of the prompts but the first, which is a mark."""
        mean = self._sum / max(self._n, 1)
        return self._squares / max(self._n, 1) - np.outer(mean, mean)

    def answers(self, asked: Asked, moved: Floats, answers: Ints) -> Floats:
        """Logits (n, k) of the values with the activations in the slots moved by `moved` (m, d)."""
        device = self._model.device
        row, place = (torch.from_numpy(i).to(device) for i in np.nonzero(asked.batch.values >= 0))
        by = torch.from_numpy(moved).float().to(device)

        def move(here: torch.Tensor) -> torch.Tensor:
            return here.index_put((row, place), (here[row, place].float() + by).to(here.dtype))

        tokens = torch.from_numpy(asked.batch.tokens)
        logits = forward_with_replacement(self._model, tokens, self._site, move)
        return _answers(logits, answers)


def _answers(logits: torch.Tensor, answers: Ints) -> Floats:
    last = logits[:, -1, torch.from_numpy(answers).to(logits.device)]
    return last.float().cpu().numpy().astype(np.float64)


class Action(NamedTuple):
    """One thing that is done to a concept."""

    name: str  # rotate | shift | ablate
    steps: int  # 0 of an ablation


class Reached(NamedTuple):
    """How far an action went, over prompts."""

    effect: float
    logit: float


def actions(questions: Questions, s: InterveneSettings) -> list[Action]:
    """Those that are wanted of a concept, but for steps all around its circle."""
    circle = questions.shape == CYCLIC
    shifts = [
        Action("rotate" if circle else "shift", steps)
        for steps in s.steps
        if not circle or steps % len(questions.answers)
    ]
    return [
        *(shifts if "shift" in s.actions else []),
        *([Action("ablate", 0)] if "ablate" in s.actions else []),
    ]


def effect(
    site: Site,
    questions: Questions,
    asked: list[Asked],
    subspace: Subspace,
    action: Action,
    random: RandomRows,
    draws: int,
    done: Callable[[], None],
) -> dict[str, Any] | None:
    """One row of ``effects.parquet``: an action on a subspace, beside random directions.

    None if no prompt has values that can be shifted so far.
    """
    parts = [part for one in asked if len((part := _with_targets(one, questions, action)).x)]
    if not parts:
        return None
    before = np.concatenate([part.logits for part in parts])
    answer = np.concatenate([part.batch.answer for part in parts])
    wanted = questions.on(answer, action.steps)
    shifts = [_shift(part, questions, subspace, action) for part in parts]  # (m, r) of each

    def reached(rows: Floats) -> Reached:
        moved = [
            site.answers(part, shift @ rows, questions.answers)
            for part, shift in zip(parts, shifts, strict=True)
        ]
        done()
        return _reached(np.concatenate(moved), before, answer, wanted, action)

    found = reached(subspace.rows)
    null = [reached(random.draw(i, len(subspace.rows))) for i in range(draws)]
    by_chance = {name: np.array([getattr(one, name) for one in null]) for name in Reached._fields}
    lengths = np.concatenate([np.linalg.norm(shift, axis=1) for shift in shifts])
    norms = np.concatenate([np.linalg.norm(part.x, axis=1) for part in parts])
    return {
        "concept": questions.concept,
        "shape": questions.shape,
        **{name: getattr(subspace, name) for name in ("source", "space")},
        "dimensions": len(subspace.rows),
        **{"action": action.name, "steps": action.steps},
        **{"prompts": len(answer), "values": len(questions.answers)},
        "accuracy": float((before.argmax(axis=1) == answer).mean()),
        "length": float(lengths.mean() / norms.mean()),
        "effect": found.effect,
        "null_mean": float(by_chance["effect"].mean()),
        "null_high": float(np.quantile(by_chance["effect"], 0.95)),
        "p": upper_p(found.effect, by_chance["effect"]),
        "logit": found.logit,
        "logit_before": _reached(before, before, answer, wanted, action).logit,
        "logit_null": float(by_chance["logit"].mean()),
        "logit_p": upper_p(found.logit, by_chance["logit"]),
        "draws": draws,
    }


def _with_targets(asked: Asked, questions: Questions, action: Action) -> Asked:
    """Those prompts all of whose values, the answer among them, can be shifted."""
    batch = asked.batch
    slots = batch.values >= 0
    there = (questions.on(batch.values, action.steps) >= 0) | ~slots
    chosen = there.all(axis=1) & (questions.on(batch.answer, action.steps) >= 0)
    return Asked(batch.rows(chosen), asked.x[chosen[np.nonzero(slots)[0]]], asked.logits[chosen])


def _shift(asked: Asked, questions: Questions, subspace: Subspace, action: Action) -> Floats:
    """What the coordinates (m, r) in each slot are changed by."""
    points = subspace.points
    if action.name == "ablate":
        wanted = np.nanmean(points, axis=0)
    else:
        values = asked.batch.values
        wanted = points[questions.on(values, action.steps)[values >= 0]]
    return wanted - asked.x @ subspace.rows.T


def _reached(logits: Floats, before: Floats, answer: Ints, wanted: Ints, action: Action) -> Reached:
    """Of a shift: share of prompts with the shifted right answer, and its mean logit beyond that of
    the right answer. Of an ablation: the accuracy that is lost, and the mean logit of the other
    values beyond that of the right answer. Logits (n, k).
    """
    rows = np.arange(len(answer))
    right, own = logits.argmax(axis=1), logits[rows, answer]
    if action.name == "ablate":
        lost = (before.argmax(axis=1) == answer).mean() - (right == answer).mean()
        others = (logits.sum(axis=1) - own) / (logits.shape[1] - 1)
        return Reached(float(lost), float((others - own).mean()))
    return Reached(float((right == wanted).mean()), float((logits[rows, wanted] - own).mean()))

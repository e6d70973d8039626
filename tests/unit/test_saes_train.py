"""Training of SAEs: gradients, banks, resuming, worlds whose features are known."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch

from interpsweep.config.saes import TrainSettings
from interpsweep.context import Context
from interpsweep.saes.artifact import Dictionary
from interpsweep.saes.bank import Member, train_bank
from interpsweep.saes.kernels import largest, top_k
from interpsweep.saes.trainer import CHECKPOINT, Trainer, learning_rate

D_IN = 16


class ToyStream:
    """Sums of a few of `n` unit features, a pure function of (seed, step)."""

    def __init__(self, n: int = 32, density: float = 0.08, batch: int = 256, d_in: int = D_IN):
        rows = np.random.default_rng(7).standard_normal((n, d_in))
        self.features = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        self.density, self.size = density, batch

    def batch(self, step: int) -> np.ndarray:
        rng = np.random.default_rng([3, step])
        n = len(self.features)
        on = rng.random((self.size, n)) < self.density
        strength = rng.uniform(0.5, 1.5, (self.size, n))
        return ((on * strength) @ self.features).astype(np.float32)


@dataclass
class ToyItem:
    """What a bank needs of a job's item."""

    out: Path
    digest: str
    published: list = field(default_factory=list)

    def publish(self, metrics: dict) -> None:
        self.published.append(metrics)


def member(out: Path, settings: TrainSettings, d_in: int = D_IN, scale: float = 1.7) -> Member:
    out.mkdir(parents=True, exist_ok=True)
    digest = json.dumps(settings.identity(), sort_keys=True)
    trainer = Trainer(settings, scale=scale, centre=torch.zeros(d_in), variance=1.0)
    trainer.resume(out, digest)
    return Member(ToyItem(out, digest), trainer, {})


def files(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir())}


def settings(architecture: str, d_sae: int = 48, **changes) -> TrainSettings:
    sparsity = 0.2 if architecture in ("relu", "gated") else 4
    values = {"tokens": 256 * 60, "batch_size": 256, "dead_after": 2000, "log_points": 7}
    return TrainSettings(
        **values | {"architecture": architecture, "d_sae": d_sae, "sparsity": sparsity} | changes
    )


BANK = [
    settings("topk"),
    settings("topk", 96, seed=1, precision="bfloat16"),
    settings("batchtopk", 40, tokens=256 * 35),
    settings("relu", 64),
    settings("gated", 40),
    settings("jumprelu", 48, seed=2),
    settings("matryoshka", 64),
]


def test_an_sae_in_a_bank_is_the_sae_alone(tmp_path):
    together = [member(tmp_path / f"bank{i}", s) for i, s in enumerate(BANK)]
    assert train_bank(together, ToyStream(), Context()) == []
    for i, s in enumerate(BANK):
        alone = member(tmp_path / f"alone{i}", s)
        train_bank([alone], ToyStream(), Context())
        assert files(alone.item.out) == files(together[i].item.out)
        assert alone.item.published == together[i].item.published
        assert set(files(alone.item.out)) == {
            "cfg.json", "sae_weights.safetensors", "sparsity.safetensors", "training.parquet"
        }  # fmt: skip


class StopAt(Context):
    """A context that is asked to stop after some batches."""

    def __init__(self, stream: ToyStream, batches: int):
        self._left = batches
        self._batch = stream.batch
        self.stream = stream
        super().__init__()
        stream.batch = self._counted

    def _counted(self, step: int) -> np.ndarray:
        self._left -= 1
        self.stopping = self._left <= 0
        return self._batch(step)


@pytest.mark.parametrize("stops", [(1,), (17, 40), (34, 36)])
def test_a_stopped_bank_goes_on_bit_identically(tmp_path, stops):
    whole = [member(tmp_path / f"whole{i}", s) for i, s in enumerate(BANK)]
    train_bank(whole, ToyStream(), Context())
    done = 0
    for stop in (*stops, None):
        parts = [member(tmp_path / f"parts{i}", s) for i, s in enumerate(BANK)]
        parts = [m for m in parts if not (m.item.out / "cfg.json").exists()]
        stream = ToyStream()
        context = Context() if stop is None else StopAt(stream, stop - done)
        done = stop
        assert train_bank(parts, stream, context) == []
        if stop is not None:
            assert any((m.item.out / CHECKPOINT).exists() for m in parts)
    for i in range(len(BANK)):
        assert files(tmp_path / f"whole{i}") == files(tmp_path / f"parts{i}")


def test_members_at_different_steps_catch_up(tmp_path):
    early = member(tmp_path / "a", BANK[0])
    stream = ToyStream()
    train_bank([early], stream, StopAt(stream, 10))
    pair = [member(tmp_path / "a", BANK[0]), member(tmp_path / "b", BANK[1])]
    assert (pair[0].trainer.done, pair[1].trainer.done) == (10, 0)
    train_bank(pair, ToyStream(), Context())
    alone = member(tmp_path / "c", BANK[0])
    train_bank([alone], ToyStream(), Context())
    assert files(tmp_path / "a") == files(tmp_path / "c")


def test_a_foreign_or_torn_checkpoint_is_not_taken_up(tmp_path):
    m = member(tmp_path, BANK[0])
    m.trainer.step(torch.randn(256, D_IN))
    m.trainer.save(tmp_path, m.item.digest)
    assert not m.trainer.resume(tmp_path, "another spec")
    file = tmp_path / CHECKPOINT
    file.write_bytes(file.read_bytes()[:-100])
    assert not m.trainer.resume(tmp_path, m.item.digest)


def test_a_diverged_sae_stops_and_its_mates_go_on(tmp_path):
    class Poisoned(Trainer):
        def step(self, x):
            super().step(x * (float("nan") if self.done == 9 else 1))

    bad, good = member(tmp_path / "bad", BANK[0]), member(tmp_path / "good", BANK[1])
    bad.trainer.__class__ = Poisoned
    (message,) = train_bank([bad, good], ToyStream(), Context())
    assert "step 9" in message and "d_sae=48" in message and "activations" in message
    assert bad.item.published == [] and len(good.item.published) == 1


# ---------------------------------------------------------------------- pieces


@pytest.mark.parametrize("n,k", [(64, 4), (64, 64), (60, 7), (1024, 16), (128, 8)])
def test_top_k_finds_the_largest(n, k):
    values = torch.randn(33, n, generator=torch.Generator().manual_seed(n + k))
    found, columns = top_k(values, k)
    assert torch.equal(values.gather(1, columns), found)
    assert torch.equal(found.sort().values, values.topk(k).values.sort().values)


def test_largest_breaks_ties_by_order():
    assert largest(torch.tensor([1.0, 2, 1, 3, 1]), 4).tolist() == [0, 1, 2, 3]


def test_learning_rate_rises_and_falls():
    s = settings("topk", learning_rate=1.0, warm_up=0.1, decay=0.2, tokens=256 * 100)
    rates = [learning_rate(s, i) for i in range(100)]
    assert rates[0] == pytest.approx(0.1) and rates[9] == rates[50] == 1.0
    assert rates[-1] == pytest.approx(0.05)


# ---------------------------------------------------------------------- a world with an answer


@pytest.mark.parametrize(
    "kind,sparsity",
    [("topk", 2), ("batchtopk", 2), ("relu", 0.15), ("gated", 2), ("jumprelu", 2)],
)
def test_sparse_features_are_recovered(tmp_path, kind, sparsity):
    stream = ToyStream(n=24, density=0.08, d_in=32)
    s = settings(
        kind, 24, sparsity=sparsity, tokens=256 * 1200, learning_rate=3e-3,
        dead_after=20_000,
    )  # fmt: skip
    m = member(tmp_path, s, d_in=32, scale=2.0)
    train_bank([m], stream, Context())
    sae = Dictionary.open(tmp_path)
    assert sae.unit_decoder
    best = (stream.features @ sae.directions.T).max(axis=1)
    assert best.mean() > 0.95

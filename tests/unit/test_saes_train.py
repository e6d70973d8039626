"""Training of SAEs: gradients, banks, resuming, worlds whose features are known."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from interpsweep.config.saes import ARCHITECTURES, TrainSettings
from interpsweep.context import Context
from interpsweep.saes.artifact import Dictionary
from interpsweep.saes.bank import Member, train_bank
from interpsweep.saes.checkpoints import Checkpoints
from interpsweep.saes.kernels import choose, fixed_k, keep_largest, native, top_k
from interpsweep.saes.load import load
from interpsweep.saes.trainer import Side, Trainer, learning_rate
from interpsweep.store.layout import SCRATCH

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
    failed: str = ""

    def publish(self, metrics: dict) -> None:
        self.published.append(metrics)
        shutil.rmtree(self.out / SCRATCH, ignore_errors=True)  # as the store does

    def fail(self, reason: str) -> None:
        self.failed = reason


def member(out: Path, settings: TrainSettings, d_in: int = D_IN, scale: float = 1.7) -> Member:
    out.mkdir(parents=True, exist_ok=True)
    digest = json.dumps(settings.identity(), sort_keys=True)
    trainer = Trainer(settings, Side(scale, torch.zeros(d_in), 1.0))
    checkpoints = Checkpoints(out / SCRATCH, digest)
    if found := checkpoints.latest(print):
        trainer.resume(*found)
    return Member(ToyItem(out, digest), trainer, checkpoints, {})


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
    train_bank(together, ToyStream(), Context())
    assert not any(m.item.failed for m in together)
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
        train_bank(parts, stream, context)
        assert not any(m.item.failed for m in parts)
        if stop is not None:
            assert any(m.checkpoints.latest(print) for m in parts)
    for i in range(len(BANK)):
        assert files(tmp_path / f"whole{i}") == files(tmp_path / f"parts{i}")


@pytest.mark.parametrize("kind", ARCHITECTURES)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_number_of_threads_changes_no_bit(kind, precision):
    x, trained = ToyStream(batch=600).batch(0), []
    before = torch.get_num_threads()
    try:
        for threads in (1, 3):
            native.use_threads(threads)
            own = settings(kind, 300, tokens=600 * 4, batch_size=600, precision=precision)
            trainer = Trainer(own, Side(1.0, torch.zeros(D_IN), 1.0))
            for _ in range(4):
                trainer.step(torch.from_numpy(x))
            trained.append(trainer.sae.parameters)
    finally:
        native.use_threads(1)
        torch.set_num_threads(before)
    assert all(torch.equal(tensor, trained[1][name]) for name, tensor in trained[0].items())


@pytest.mark.parametrize("kind", ["topk", "batchtopk", "matryoshka"])
def test_the_arithmetic_of_the_search_is_no_part_of_the_result(kind, monkeypatch):
    """A CPU with bfloat16 products and one without train the same SAE, to float32 rounding."""
    monkeypatch.setattr(choose, "NARROW_PRODUCT", 0)
    x, trained = torch.from_numpy(ToyStream(batch=600).batch(0)), []
    for narrow in (False, True):
        monkeypatch.setattr(choose, "_multiplies_bfloat16", lambda narrow=narrow: narrow)
        own = settings(kind, 300, tokens=600 * 4, batch_size=600)
        trainer = Trainer(own, Side(1.0, torch.zeros(D_IN), 1.0))
        for _ in range(4):
            trainer.step(x)
        trained.append(trainer.sae.parameters)
    for name, tensor in trained[0].items():
        torch.testing.assert_close(tensor, trained[1][name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["topk", "batchtopk", "matryoshka"])
def test_precision_is_no_part_of_an_sae_that_does_not_read_it(kind):
    one, other = (settings(kind, precision=precision) for precision in ("float32", "bfloat16"))
    assert one.identity() == other.identity()
    assert settings("relu").identity()["precision"] == "float32"


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


def checkpoints_of(m: Member) -> list[Path]:
    return sorted((m.item.out / SCRATCH).glob("*"))


def test_the_last_two_checkpoints_are_kept(tmp_path):
    m = member(tmp_path, BANK[0])
    for _ in range(3):
        m.trainer.step(torch.randn(256, D_IN))
        m.save()
    assert [int(p.stem) for p in checkpoints_of(m)] == [2, 3]


@pytest.mark.parametrize("harm", ["torn", "flipped", "empty", "foreign"])
def test_a_harmed_checkpoint_gives_way_to_the_one_before(tmp_path, harm, capsys):
    m = member(tmp_path, BANK[0])
    for _ in range(2):
        m.trainer.step(torch.randn(256, D_IN))
        m.save()
    newest = checkpoints_of(m)[-1]
    content = newest.read_bytes()
    if harm == "torn":
        newest.write_bytes(content[:-100])
    elif harm == "flipped":
        newest.write_bytes(content[:-100] + bytes([content[-100] ^ 1]) + content[-99:])
    elif harm == "empty":
        newest.write_bytes(b"")
    else:
        Checkpoints(newest.parent, "another spec").save(2, m.trainer.state())
    assert member(tmp_path, BANK[0]).trainer.done == 1
    assert f"{newest}: checkpoint refused" in capsys.readouterr().out
    assert [int(p.stem) for p in checkpoints_of(m)] == [1]
    checkpoints_of(m)[0].write_bytes(b"")
    assert member(tmp_path, BANK[0]).trainer.done == 0


class Faulty(ToyStream):
    """A stream with one infinite activation at step 9."""

    def batch(self, step: int) -> np.ndarray:
        rows = super().batch(step)
        rows[3, 5] = np.inf if step == 9 else rows[3, 5]
        return rows


def test_saes_with_an_infinite_row_stop_at_its_step(tmp_path):
    members = [member(tmp_path / f"{i}", s) for i, s in enumerate(BANK)]
    train_bank(members, Faulty(), Context(checkpoint_seconds=0))
    for m in members:
        message = m.item.failed
        assert "step 9" in message and f"d_sae={m.trainer.settings.d_sae}" in message
        assert m.item.published == []
        assert [int(p.stem) for p in checkpoints_of(m)] == [8, 9]  # steps done before it


@pytest.mark.parametrize("s", BANK, ids=lambda s: f"{s.architecture}-{s.d_sae}")
def test_an_sae_that_diverges_stops_and_its_mates_go_on(tmp_path, s):
    wild = s.model_copy(update={"learning_rate": 1e30, "gradient_clip": None})
    bad, good = member(tmp_path / "bad", wild), member(tmp_path / "good", BANK[1])
    train_bank([bad, good], ToyStream(), Context(checkpoint_seconds=0))
    message = bad.item.failed
    assert not good.item.failed
    assert "not finite" in message and s.architecture in message and "learning_rate" in message
    # stopped at once, with what is left sound
    assert bad.trainer.done <= 3
    assert f"the loss at step {bad.trainer.done} is" in message
    assert bad.item.published == [] and len(good.item.published) == 1
    for file in checkpoints_of(bad):
        assert all(bool(t.isfinite().all()) for t in load_file(file).values())
    alone = member(tmp_path / "alone", BANK[1])
    train_bank([alone], ToyStream(), Context())
    assert files(tmp_path / "alone") == files(tmp_path / "good")


# ---------------------------------------------------------------------- pieces


@pytest.mark.parametrize("n,k", [(64, 4), (64, 64), (60, 7), (1024, 16), (128, 8)])
def test_top_k_finds_the_largest(n, k):
    values = torch.randn(33, n, generator=torch.Generator().manual_seed(n + k))
    found, columns = top_k(values, k)
    assert torch.equal(values.gather(1, columns), found)
    assert torch.equal(found.sort().values, values.topk(k).values.sort().values)


def test_largest_breaks_ties_by_order():
    codes = fixed_k(torch.arange(5)[None], torch.tensor([[1.0, 2, 1, 3, 1]]))
    assert keep_largest(codes, 4).columns.tolist() == [0, 1, 2, 3]


def test_learning_rate_rises_and_falls():
    s = settings("topk", learning_rate=1.0, warm_up=0.1, decay=0.2, tokens=256 * 100)
    rates = [learning_rate(s, i) for i in range(100)]
    assert rates[0] == pytest.approx(0.1) and rates[9] == rates[50] == 1.0
    assert rates[-1] == pytest.approx(0.05)


@pytest.mark.parametrize("kind", ["batchtopk", "matryoshka"])
def test_the_exported_threshold_keeps_the_l0_of_a_short_training(tmp_path, kind):
    m = member(tmp_path, settings(kind, 64, tokens=256 * 150, learning_rate=2e-3))
    train_bank([m], ToyStream(), Context())
    acts = load(tmp_path).encode(torch.from_numpy(ToyStream().batch(10**6)))
    assert float((acts > 0).sum(1).float().mean()) == pytest.approx(4, rel=0.1)


@pytest.mark.parametrize("rate", [4e-4, 2e-3])
def test_a_short_training_of_jumprelu_ends_at_its_target(tmp_path, rate):
    m = member(tmp_path, settings("jumprelu", 64, tokens=256 * 250, learning_rate=rate))
    train_bank([m], ToyStream(), Context())
    acts = load(tmp_path).encode(torch.from_numpy(ToyStream(batch=4096).batch(10**6)))
    assert float((acts > 0).sum(1).float().mean()) == pytest.approx(4, rel=0.03)


# ---------------------------------------------------------------------- a world with an answer


@pytest.mark.parametrize(
    "kind,sparsity",
    [("topk", 2), ("batchtopk", 2), ("relu", 0.15), ("gated", 2), ("jumprelu", 2)],
)
def test_sparse_features_are_recovered(tmp_path, kind, sparsity):
    stream = ToyStream(n=24, density=0.08, d_in=32)
    s = settings(  # some to spare: with 24, whether the last one is found depends on the seed
        kind, 32, sparsity=sparsity, tokens=256 * 1200, learning_rate=3e-3, dead_after=20_000,
    )  # fmt: skip
    m = member(tmp_path, s, d_in=32, scale=2.0)
    train_bank([m], stream, Context())
    sae = Dictionary.open(tmp_path)
    assert sae.unit_decoder
    best = (stream.features @ sae.directions.T).max(axis=1)
    assert best.mean() > 0.95


def test_saes_that_are_matched_do_not_start_alike():
    """Neither a narrow SAE as the first rows of a wide one, nor neighbouring layers."""

    def rows(width: int, place: str, **more) -> torch.Tensor:
        side = Side(1.0, torch.zeros(D_IN), 1.0, place)
        return Trainer(settings("topk", width, **more), side).sae.parameters["decoder"]

    narrow = rows(32, "blocks.0.hook_resid_post")
    for other in (rows(64, "blocks.0.hook_resid_post"), rows(32, "blocks.1.hook_resid_post"),
                  rows(32, "blocks.0.hook_resid_post", seed=1)):  # fmt: skip
        assert float((narrow * other[:32]).sum(1).abs().max()) < 0.95
    assert torch.equal(narrow, rows(32, "blocks.0.hook_resid_post"))

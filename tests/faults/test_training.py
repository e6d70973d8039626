"""SIGKILL of a real training of every architecture at random steps; the same bytes as undisturbed.

INTERPSWEEP_KILLS sets how often (3), INTERPSWEEP_KILL_SEED at which steps.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from interpsweep.config.saes import ARCHITECTURES, TrainSettings
from interpsweep.errors import UserError
from interpsweep.jobs import run_job
from interpsweep.saes import bank as bank_module
from interpsweep.saes import train
from interpsweep.spec import digest, normalise
from interpsweep.stages import STAGES
from interpsweep.store import Store
from interpsweep.store.attempt import open_attempt, publish
from interpsweep.store.layout import RUN_RECORD
from saes_world import make_world

KILLS = int(os.environ.get("INTERPSWEEP_KILLS", "3"))
STEPS, BATCH = 24, 64
RUN = {"device": "cpu", "threads": 1, "checkpoint_seconds": 0}


def bank() -> list[TrainSettings]:
    """One SAE of every architecture; some end before the others."""
    penalised = ("relu", "gated")
    return [
        TrainSettings(
            architecture=architecture,
            d_sae=16 + 4 * i,
            sparsity=0.3 if architecture in penalised else 3,
            tokens=(STEPS - 8 * (i % 2)) * BATCH,
            batch_size=BATCH,
            dead_after=500,  # so that the auxiliary loss takes part
            seed=i,
        )
        for i, architecture in enumerate(ARCHITECTURES)
    ]


def make_store(root: Path, world: dict) -> tuple[Store, list[str]]:
    """A store that holds activations, and the digests of the SAEs to train on them."""
    store = Store(root / "store")
    (store.root / ".specs").mkdir(parents=True)
    site = {"site": "blocks.0.hook", "model": {"source": "trained"}}
    inputs = {"corpus": _put(store, _spec("corpus", {}, {}), world["corpus"])}
    inputs["activations"] = _put(store, _spec("capture", site, inputs), world["activations"])
    inputs["masks"] = [_put(store, _spec("mask", {}, inputs), world["masks"][0])]
    specs = [_spec("train", settings.identity(), inputs) for settings in bank()]
    return store, [store.write_spec(spec) for spec in specs]


def _put(store: Store, spec: dict, files: Path) -> str:
    """Publish a folder as the item of a spec."""
    item = store.write_spec(spec)
    attempt = open_attempt(store, item)
    shutil.copytree(files, attempt, dirs_exist_ok=True)
    publish(store, spec, item, attempt, {}, {})
    return item


def _spec(stage: str, settings: dict, inputs: dict) -> dict:
    version = STAGES[stage].version
    return normalise({"stage": stage, "version": version, "settings": settings, "inputs": inputs})


def job(store: Store, items: list[str], **run: object) -> Path:
    """The file of a job that makes these items."""
    path = store.spec_path(digest({"stage": "train", "items": items}))
    path.write_text(json.dumps({"stage": "train", "items": items, "run": {**RUN, **run}}))
    return path


def contents(store: Store, item: str) -> dict[str, bytes]:
    """Every file of an item but the record of its run."""
    files = sorted(p for p in store.find(item).rglob("*") if p.is_file())
    assert files
    return {p.name: p.read_bytes() for p in files if p.name != RUN_RECORD}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> dict:
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, world: dict) -> dict[str, dict]:
    store, items = make_store(tmp_path_factory.mktemp("undisturbed"), world)
    run_job(store, job(store, items))
    return {item: contents(store, item) for item in items}


def killed_at(store: Store, command: list[str], step: int) -> bool:
    """Start the training, kill it once a checkpoint of `step` is there; True if it came to that."""
    process = subprocess.Popen(command, cwd=store.root.parent, stderr=subprocess.DEVNULL)
    while process.poll() is None:
        try:
            names = [p.stem for p in store.root.glob(".work/*/*/.scratch/*.safetensors")]
        except FileNotFoundError:  # an item was published while we looked
            continue
        if max((int(name) for name in names), default=0) >= step:
            process.kill()
            process.wait()
            return True
        time.sleep(0.002)
    return False


def test_killed_at_random_steps_it_ends_with_the_same_bytes(
    tmp_path: Path, world: dict, undisturbed: dict[str, dict]
) -> None:
    store, items = make_store(tmp_path, world)
    file = job(store, items).relative_to(tmp_path)
    command = [sys.executable, "-m", "interpsweep", "train", "--spec", str(file)]
    moments = random.Random(os.environ.get("INTERPSWEEP_KILL_SEED", "0"))
    steps = sorted(moments.randrange(1, STEPS) for _ in range(KILLS))
    killed = [killed_at(store, command, step) for step in steps]
    assert all(killed)
    subprocess.run(command, cwd=tmp_path, check=True, stderr=subprocess.DEVNULL)
    assert {item: contents(store, item) for item in items} == undisturbed


def test_an_sae_alone_is_the_sae_in_the_bank(
    tmp_path: Path, world: dict, undisturbed: dict[str, dict]
) -> None:
    store, items = make_store(tmp_path, world)
    for item in items:
        run_job(store, job(store, [item]))
    assert {item: contents(store, item) for item in items} == undisturbed


@pytest.mark.parametrize("fits", [1, 3])
def test_a_bank_that_does_not_fit_is_trained_in_halves(
    tmp_path: Path,
    world: dict,
    undisturbed: dict[str, dict],
    monkeypatch: pytest.MonkeyPatch,
    fits: int,
) -> None:
    """Memory runs out in the middle of the training of more than `fits` SAEs."""
    real = bank_module.train_bank

    def train_bank(members: list, *arguments: object) -> None:
        if len(members) > fits:
            raise_at = members[-1].trainer.step

            def step(*inputs: torch.Tensor) -> None:
                if members[-1].trainer.done == 5:
                    raise torch.OutOfMemoryError("CUDA out of memory.")
                raise_at(*inputs)

            members[-1].trainer.step = step
        real(members, *arguments)

    monkeypatch.setattr(train, "train_bank", train_bank)
    store, items = make_store(tmp_path, world)
    run_job(store, job(store, items, checkpoint_seconds=60))
    assert {item: contents(store, item) for item in items} == undisturbed
    halvings = [
        json.loads((store.find(i) / RUN_RECORD).read_text())["bank_halvings"] for i in items
    ]
    assert max(halvings) >= len(items) // fits - 1


def test_one_sae_that_does_not_fit_is_an_error_with_a_remedy(
    tmp_path: Path, world: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(train, "train_bank", never)
    store, items = make_store(tmp_path, world)
    with pytest.raises(
        UserError, match=r"train: out of memory while making .*store/saes/.*run\.pack"
    ):
        run_job(store, job(store, items, checkpoint_seconds=60))
    assert not any(store.exists(item) for item in items)

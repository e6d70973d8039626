"""What jobs ask a cluster for, and how long a sweep takes there."""

from __future__ import annotations

import json
import re
import time
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from interpsweep import driver
from interpsweep.commands.forecast import Forecast, forecast
from interpsweep.commands.inspect import show_plan
from interpsweep.config.landscape import LandscapeSettings
from interpsweep.plan import Plan
from interpsweep.plan.resources import Request, Requests
from interpsweep.profiles import read_profile
from interpsweep.stages import STAGES
from interpsweep.stages.landscape import seconds as landscape_seconds
from interpsweep.store import Store

ROOT = Path(__file__).parents[2]
BASE: dict[str, Any] = {
    "sweep": "sizes",
    "models": [
        {
            "name": "one",
            "source": "trained",
            "architecture": {"n_layers": 2, "d_model": 512, "n_heads": 8, "d_mlp": 2048},
            "sites": ["blocks.0.hook_resid_post", "blocks.1.hook_resid_post"],
        }
    ],
    "corpus": {"source": "generated", "n_tokens": 10_000_000},
    "train": {"widths": [8192, 16384], "sparsities": [32], "seeds": [0, 1], "tokens": 100_000_000},
}
GPU = {name for name, stage in STAGES.items() if stage.gpu}


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)

    def asked(changes: dict[str, Any] | None = None) -> dict[str, Request]:
        """The first job of every stage, after some changes of the settings."""
        plan = planned(changes)
        requests = Requests(plan, Store(), GPU)
        return {job.stage: requests.of(job) for job in reversed(plan.jobs)}

    return asked


def planned(changes: dict[str, Any] | None = None) -> Plan:
    data = deepcopy(BASE)
    for section, values in (changes or {}).items():
        data.setdefault(section, {}).update(values)
    path = Path("sweep.yaml")
    with path.open("w") as file:
        YAML().dump(data, file)
    return driver.plan_sweep([path])


def test_memory_follows_width_and_packing(ask: Any) -> None:
    plain = ask()["train"]
    assert ask({"train": {"widths": [8192, 32768]}})["train"].memory > plain.memory + 1000
    packed = ask({"run": {"pack": 1}})["train"]
    assert packed.memory < plain.memory
    assert packed.gpu_memory < plain.gpu_memory / 2
    # weights, gradients and two moments of Adam of four SAEs alone
    assert plain.gpu_memory > 16 * 2 * 512 * (8192 + 16384) * 2 / 1e6


def test_time_follows_tokens_and_speed(ask: Any) -> None:
    plain = ask()
    assert ask({"train": {"tokens": 300_000_000}})["train"].minutes > 2 * plain["train"].minutes
    assert ask({"run": {"gpu_tflops": 1}})["train"].minutes > 2 * plain["train"].minutes
    assert ask({"run": {"device": "cpu"}})["train"].minutes > 10 * plain["train"].minutes
    assert ask({"run": {"workers": 8}})["match"].minutes < plain["match"].minutes


def test_every_stage_of_a_plan_has_a_rate(ask: Any) -> None:
    """Settings that make a stage's items slower make its jobs longer, and nobody else's."""
    plain = {stage: request.seconds for stage, request in ask().items()}
    probes = {"methods": ["projection"], "first_letters": True}
    acts = {"actions": ["shift"]}
    optional = ask(
        {"probes": probes, "intervene": acts, "match": {"directions": ["width", "layer"]}}
    )
    assert set(optional) >= set(STAGES) - {"import"}
    slower = {
        "landscape": {"landscape": {"draws": 1999, "dictionaries": 399}},
        "match": {"match": {"null_draws": 400}},
        "evaluate": {"evaluate": {"contexts": 100_000}},
        "children": {"children": {"children": 10_000}},
    }
    for stage, changes in slower.items():
        now = {name: request.seconds for name, request in ask(changes).items()}
        assert now[stage] > 2 * plain[stage], stage
        # summed over items in the order of their digests
        assert {**now, stage: 0.0} == pytest.approx({**plain, stage: 0.0})


def test_gradients_through_the_model_cost_time_and_memory(ask: Any) -> None:
    plain, both = (
        ask({"probes": {"methods": methods, "first_letters": True}})["probe"]
        for methods in (["projection"], ["projection", "ablation"])
    )
    assert both.memory > plain.memory + 300 and both.seconds > 1.5 * plain.seconds


def test_the_rate_of_a_landscape_is_what_was_measured() -> None:
    """CPU seconds of its parts on random dictionaries: (latents, d_in) -> seconds, one thread."""
    measured = {(256, 64): 3.7, (1024, 64): 11.7, (1024, 384): 28.5, (4096, 384): 42.2}
    settings = LandscapeSettings().identity()
    for (width, d_in), seconds in measured.items():
        assert 0.75 < landscape_seconds(settings, width, d_in) / seconds < 1.33


def test_chunks_of_activations_count(ask: Any) -> None:
    assert ask({"capture": {"chunk_rows": 1 << 18}})["capture"].memory > ask()["capture"].memory


def test_what_is_configured_is_asked_for(ask: Any) -> None:
    asked = ask({"run": {"memory": 700, "runtime": 33}})
    assert {(request.memory, request.minutes) for request in asked.values()} == {(700, 33)}


def test_disk_is_that_of_activations(ask: Any) -> None:
    two_sites_of_float16 = 2 * 10_000_000 * 512 * 2 / 1e6
    assert two_sites_of_float16 < ask()["capture"].disk < 1.1 * two_sites_of_float16


def test_a_retry_gets_more_of_what_the_last_attempt_lacked(ask: Any) -> None:
    plan, store = planned(), Store()
    job = next(job for job in plan.jobs if job.stage == "train")
    first = Requests(plan, store, GPU).of(job)
    attempt = {
        "slurm": "1",
        "began": 0.0,
        "how": "memory",
        "memory": first.memory,
        "minutes": first.minutes,
    }
    _remember(store, job.digest, attempt)
    second = Requests(plan, store, GPU).of(job)
    assert (second.memory, second.minutes) == (2 * first.memory, first.minutes)
    late = 60.0 * first.minutes - 1
    _remember(store, job.digest, {**attempt, "how": "failed", "stopped": late})
    third = Requests(plan, store, GPU).of(job)
    assert (third.memory, third.minutes) == (first.memory, 2 * first.minutes)


def test_finished_jobs_correct_the_speed(ask: Any) -> None:
    plan, store = planned(), Store()
    first, second = (job for job in plan.jobs if job.stage == "train")
    before = Requests(plan, store, GPU).of(second)
    now = time.time()
    made = {
        "slurm": "1",
        "how": "done",
        "made": list(first.items),
        "began": now - 90_000,
        "ended": now,
    }
    _remember(store, first.digest, made)
    after = Requests(plan, store, GPU).of(second)
    assert after.seconds == pytest.approx(90_060)
    assert before.seconds < after.seconds


def _remember(store: Store, job: str, attempt: dict[str, Any]) -> None:
    path = store.history_path(job)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([attempt]))


def test_the_plan_for_a_cluster_says_what_it_will_cost(
    ask: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    planned()
    quota = Path("bin/quota")
    quota.parent.mkdir()
    quota.write_text("#!/bin/sh\necho '/scratch 12G of 100G'\n")
    quota.chmod(0o755)
    monkeypatch.setenv("PATH", f"{quota.parent.absolute()}:/usr/bin:/bin")
    show_plan([Path("sweep.yaml")], read_profile(str(ROOT / "profiles/slurm")))
    said = capsys.readouterr().out
    for pattern in (
        r"train .* 2 │ +1 │ +\d+\.\d GB │ +\d+\.\d GB │ +\d+ min",
        r"compute: about \d+\.\d GPU hours and \d+\.\d hours of other jobs",
        r"time: about \d+\.\d hours, 50 jobs at a time",
        r"nodes: up to 11 at once, 4 of them with a GPU",
        r"quota: /scratch 12G of 100G",
        r"disk: about \d+\.\d+ GB to write, [\d,]+ GB free",
    ):
        assert re.search(pattern, said), pattern
    assert not Path("store").exists()  # planning writes nothing


SECONDS = {"capture": 10.0, "train-a": 30.0, "train-b": 20.0, "match": 5.0}
NEEDS = {
    "capture": [],
    "train-a": ["capture"],
    "train-b": ["capture"],
    "match": ["train-a", "train-b"],
}


@pytest.mark.parametrize(
    ("slots", "expected"),
    [(1, Forecast(65.0, 1, 1)), (2, Forecast(45.0, 2, 2)), (9, Forecast(45.0, 2, 2))],
)
def test_jobs_wait_for_what_they_need_and_for_a_slot(slots: int, expected: Forecast) -> None:
    assert forecast(SECONDS, NEEDS, slots, {"train-a", "train-b"}) == expected


def test_what_exists_is_not_waited_for() -> None:
    assert forecast({"match": 5.0}, NEEDS, 2) == Forecast(5.0, 1, 0)
    assert forecast({}, {}, 2) == Forecast(0.0, 0, 0)

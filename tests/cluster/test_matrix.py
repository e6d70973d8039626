"""What a cluster does to jobs and to drivers; each time the same bytes come out.

Workers are frozen (SIGSTOP) where a test needs them at work, so nothing depends on their speed.
Everything before training is copied from a local run.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster_place import ClusterPlace

from cluster import Cluster, wait_until
from interpsweep.store.history import megabytes_of
from places import Place

SAES = ("--target", "saes")


@pytest.fixture(scope="session")
def captured(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> ClusterPlace:
    place = ClusterPlace(tmp_path_factory.mktemp("captured"), cluster)
    place.run("run", *place.configs, "--target", "activations")
    return place


@pytest.fixture(scope="session")
def local(captured: ClusterPlace, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """The SAEs as a run without a cluster makes them."""
    place = captured.copied(tmp_path_factory.mktemp("trained") / "place")
    place.run("run", *place.configs, *SAES)
    return place


@pytest.fixture
def place(captured: ClusterPlace, tmp_path: Path) -> Iterator[ClusterPlace]:
    made = captured.copied(tmp_path / "place")
    yield made
    made.clear_queue()


class Worker:
    """The process that trains, frozen at work."""

    def __init__(self, place: ClusterPlace) -> None:
        self.place, self.pid, self.job = place, 0, ""
        wait_until(self._caught, "a worker to train", 200, place.state, every=0.02)

    def _caught(self) -> bool:
        for path in (self.place.root / "store/.progress").glob("*.json"):
            state = json.loads(path.read_text())
            if state.get("what") == "training" and state["done"] > 0:
                os.kill(state["pid"], signal.SIGSTOP)
                self.pid, self.job = state["pid"], state["slurm"]
        return self.pid > 0

    @property
    def node(self) -> str:
        return self.place.cluster.call("squeue", "-h", "-j", self.job, "-o", "%N").strip()

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def kill_job(self) -> None:
        """Kill every process of the job, SLURM's own among them, as a power cut does."""
        processes = {}  # pid -> (parent, command line)
        for path in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                parent = int((path / "stat").read_text().rsplit(")", 1)[1].split()[1])
                processes[int(path.name)] = (parent, (path / "cmdline").read_text())
        doomed = {
            pid
            for pid, (_, line) in processes.items()
            if line.startswith(f"slurmstepd: [{self.job}.")
        }
        while more := {pid for pid, (parent, _) in processes.items() if parent in doomed} - doomed:
            doomed |= more
        assert self.pid in doomed
        for pid in doomed:
            os.kill(pid, signal.SIGKILL)


def finish(place: ClusterPlace, driver: subprocess.Popen[bytes]) -> None:
    """Wait for a driver that must end well."""
    driver.wait(timeout=540)
    assert driver.returncode == 0, place.driver_log()[-5000:]


def check(place: ClusterPlace, local: Place) -> None:
    """The same bytes, nothing left over, and the SAEs resumed rather than begun again."""
    assert place.items() == local.items()
    assert list((place.root / "store/.leases").glob("*.json")) == []
    assert list((place.root / "store/.work").glob("*/*")) == []


def attempts(place: ClusterPlace) -> list[dict]:
    """What the store remembers of the attempts at the training job."""
    [path] = [
        p
        for p in (place.root / "store/.history").glob("*.json")
        if '"slurm": ""' not in p.read_text()
    ]
    return json.loads(path.read_text())


def resumed(place: ClusterPlace) -> bool:
    return "resumes at step" in place.job_log("train")


def test_a_job_that_hits_its_time_limit_continues_with_more_time(
    place: ClusterPlace, local: Place
) -> None:
    place.configure("run: {runtime: 1}")
    place.edit_profile("slurm_extra: \"'--signal=TERM@180'\"", "slurm_extra: \"''\"")
    driver = place.begin(*SAES)
    Worker(place)  # SLURM sends SIGCONT after SIGTERM
    finish(place, driver)
    check(place, local)
    assert resumed(place)
    assert [state for state, _ in place.jobs("State,Timelimit")] == ["TIMEOUT", "COMPLETED"]
    assert [(a["minutes"], a["how"]) for a in attempts(place)] == [(1, "failed"), (2, "done")]


def test_the_profile_has_the_worker_told_before_its_time_limit(
    place: ClusterPlace, local: Place
) -> None:
    driver = place.begin(*SAES)
    worker = Worker(place)  # the signal comes with SIGCONT
    place.cluster.call("scontrol", "update", f"job={worker.job}", "TimeLimit=3")
    finish(place, driver)
    check(place, local)
    assert resumed(place)
    assert [row[0] for row in place.jobs("State")] == ["FAILED", "COMPLETED"]


def test_a_job_that_needs_more_memory_gets_more_memory_and_no_more_time(
    place: ClusterPlace, local: Place
) -> None:
    place.configure("run: {memory: 500, runtime: 9}")
    finish(place, place.begin(*SAES))
    check(place, local)
    asked = [(a["memory"], a["minutes"]) for a in attempts(place)]
    assert asked == [(500 * 2**i, 9) for i in range(len(asked))]
    assert len(asked) in (2, 3)


def test_a_requeued_job_continues_under_its_id(place: ClusterPlace, local: Place) -> None:
    driver = place.begin(*SAES)
    worker = Worker(place)
    place.cluster.call("scontrol", "requeue", worker.job)
    place.start_soon(worker.job)
    finish(place, driver)
    check(place, local)
    assert resumed(place)
    assert [row[0] for row in place.jobs("JobID")] == [worker.job] * 2


def test_a_cancelled_job_is_submitted_again(place: ClusterPlace, local: Place) -> None:
    driver = place.begin(*SAES)
    worker = Worker(place)
    place.cluster.call("scancel", worker.job)
    finish(place, driver)
    check(place, local)
    assert resumed(place)
    assert [row[0].split()[0] for row in place.jobs("State")] == ["CANCELLED", "COMPLETED"]
    assert [a["minutes"] for a in attempts(place)] == [10, 10]  # time was not what it lacked


def test_a_preempted_job_makes_room_and_continues(place: ClusterPlace, local: Place) -> None:
    place.profile = "profiles/slurm-preempt"
    driver = place.begin(*SAES)
    worker = Worker(place)
    urgent = (
        "--wrap",
        "sleep 1",
        "-p",
        "cpu",
        "-A",
        "lab",
        "-c",
        "4",
        "-w",
        worker.node,
        "-o",
        "/dev/null",
    )
    place.cluster.call("sbatch", *urgent)
    place.start_soon(worker.job)
    finish(place, driver)
    check(place, local)
    assert resumed(place)
    assert [row[0] for row in place.jobs("State")] == ["PREEMPTED", "COMPLETED"]


def test_a_job_whose_node_dies_continues_on_another(place: ClusterPlace, local: Place) -> None:
    driver = place.begin(*SAES)
    worker = Worker(place)
    node = worker.node
    place.cluster.kill_node(node)
    worker.kill_job()
    try:
        place.start_soon(worker.job)
        finish(place, driver)
    finally:
        place.cluster.start_node(node)
        wait_until(place.cluster.idle, "the node to come back", 60)
    check(place, local)
    first, second = place.jobs("State,NodeList")
    assert (first, second[0]) == (["NODE_FAIL", node], "COMPLETED")
    assert second[1] != node


def test_a_worker_that_lives_on_behind_a_dead_node_is_the_only_writer(
    place: ClusterPlace, local: Place
) -> None:
    driver = place.begin(*SAES)
    worker = Worker(place)
    node = worker.node
    place.cluster.kill_node(node)
    try:
        place.start_soon(worker.job)
        wait_until(
            lambda: "waiting" in place.job_log("train"), "the second job to wait", 200, place.state
        )
        worker.resume()
        finish(place, driver)
    finally:
        place.cluster.start_node(node)
        wait_until(place.cluster.idle, "the node to come back", 60)
    check(place, local)
    made = [a for a in attempts(place) if a.get("made")]
    assert next(a["pid"] for a in made if a["how"] == "done") == worker.pid


def test_ctrl_c_lets_workers_save_and_the_same_command_continues(
    place: ClusterPlace, local: Place
) -> None:
    driver = place.begin(*SAES)
    Worker(place)
    os.killpg(driver.pid, signal.SIGINT)
    driver.wait(timeout=120)
    assert driver.returncode != 0
    wait_until(
        lambda: not place.cluster.call("squeue", "-h"), "the queue to empty", 30, place.state
    )
    finish(place, place.begin(*SAES))
    check(place, local)
    assert resumed(place)


def test_a_new_driver_waits_for_the_jobs_of_one_that_was_killed(
    place: ClusterPlace, local: Place
) -> None:
    driver = place.begin(*SAES)
    worker = Worker(place)
    os.killpg(driver.pid, signal.SIGKILL)
    driver.wait()
    second = place.begin(*SAES)
    wait_until(
        lambda: "waiting for jobs" in place.driver_log(),
        "the new driver to wait",
        120,
        place.driver_log,
    )
    worker.resume()
    finish(place, second)
    check(place, local)
    assert f"waiting for jobs of an earlier run: {worker.job}" in place.driver_log()
    assert [row[0] for row in place.jobs("State")] == ["COMPLETED"]  # one job for one bank
    assert len(attempts(place)) == 1


def test_a_new_driver_cancels_the_jobs_of_one_that_was_killed_if_so_configured(
    place: ClusterPlace, local: Place
) -> None:
    driver = place.begin(*SAES)
    Worker(place)
    os.killpg(driver.pid, signal.SIGKILL)
    driver.wait()
    place.configure("run: {leftovers: cancel}")
    finish(place, place.begin(*SAES))
    check(place, local)
    assert resumed(place)
    assert [row[0].split()[0] for row in place.jobs("State")] == ["CANCELLED", "COMPLETED"]


def test_a_job_that_waits_in_the_queue_of_a_dead_driver_is_cancelled(
    place: ClusterPlace, local: Place
) -> None:
    place.cluster.call("scontrol", "update", "partition=gpu", "state=down")
    try:
        driver = place.begin(*SAES)
        wait_until(lambda: place.jobs("State") == [["PENDING"]], "a job in the queue", 100)
        os.killpg(driver.pid, signal.SIGKILL)
        driver.wait()
        second = place.begin(*SAES)
        wait_until(lambda: "cancelling jobs" in place.driver_log(), "a driver to cancel it", 120)
    finally:
        place.cluster.call("scontrol", "update", "partition=gpu", "state=up")
    finish(place, second)
    check(place, local)
    assert [row[0].split()[0] for row in place.jobs("State")] == ["CANCELLED", "COMPLETED"]


def test_an_unknown_state_is_no_success(place: ClusterPlace, local: Place) -> None:
    place.shim(
        "squeue",
        'if [ -e {flag} ]; then squeue "$@" | sed "s/^$(cat {flag})|RUNNING/$(cat {flag})|UNKNOWN/"; '
        'else squeue "$@"; fi',
    )
    driver = place.begin(*SAES)
    worker = Worker(place)
    place.flag.write_text(worker.job)
    wait_until(
        lambda: "waiting" in place.job_log("train"), "a second job to wait", 200, place.state
    )
    place.flag.unlink()
    worker.resume()
    finish(place, driver)
    assert "MissingOutputException" in place.driver_log()  # the index file was not there
    check(place, local)
    assert [row[0] for row in place.jobs("State")] == ["COMPLETED", "COMPLETED"]


def test_a_controller_that_does_not_answer_for_a_while_loses_no_job(
    place: ClusterPlace, local: Place
) -> None:
    place.shim("squeue", 'if [ -e {flag} ]; then echo x >> {flag}; exit 1; fi; squeue "$@"')
    driver = place.begin(*SAES)
    worker = Worker(place)
    place.flag.touch()
    wait_until(lambda: len(place.flag.read_text()) >= 10, "five polls", 100, every=0.5)
    worker.resume()
    place.flag.unlink()
    finish(place, driver)
    check(place, local)
    assert [row[0] for row in place.jobs("State")] == ["COMPLETED"]


def test_dask_workers_that_are_slurm_jobs_give_the_same_bytes(
    captured: ClusterPlace, tmp_path: Path
) -> None:
    pytest.importorskip("dask_jobqueue", reason="dask-jobqueue is not installed")
    place, local = (captured.copied(tmp_path / name) for name in ("slurm", "local"))
    local.run("run", *local.configs, "--target", "matches")
    place.edit_profile("jobs: 4", "jobs: 1")  # two nodes: one job, its workers beside it
    place.configure("run: {engine: dask-slurm, workers: 2}")
    place.sweep("--target", "matches")
    assert place.items() == local.items()
    workers = [state for name, state in place.jobs("JobName,State") if name == "dask-worker"]
    assert len(workers) >= 4  # two for each of encode and match
    place.clear_queue()


def test_the_whole_sweep(captured: ClusterPlace, tmp_path: Path) -> None:
    """Every stage, every job within the memory it asked for."""
    place, local = (captured.copied(tmp_path / name) for name in ("slurm", "local"))
    local.run("run", *local.configs)
    shutil.rmtree(place.root / "store")
    place.sweep()
    assert place.items() == local.items()
    ids = ",".join(number for [number] in place.jobs("JobID"))
    steps = place.cluster.call("sacct", "-n", "-P", "-j", ids, "-o", "State,MaxRSS,ReqMem")
    asked = 0
    for state, used, request in (line.split("|") for line in steps.splitlines()):
        asked = megabytes_of(request) or asked  # said of the job, not of its steps
        assert state == "COMPLETED"
        assert megabytes_of(used) < asked

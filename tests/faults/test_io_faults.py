"""Every call of a job that changes a file fails once, or is its last; then the job runs again.

INTERPSWEEP_POINTS sets at how many calls of each stage (3, spread over all; 0 means at every one);
the three faults take turns.
"""

from __future__ import annotations

import importlib
import os
from pathlib import Path

import pytest
from conftest import Bench
from injection import Fault, in_child

from interpsweep.stages import STAGES

POINTS = int(os.environ.get("INTERPSWEEP_POINTS", "3"))
# the sweep has no SAEs from outside and no probes; both stages publish like the others
MADE = [name for name in STAGES if name not in ("import", "probe")]
FAULTS = ("fail", "full", "kill")


@pytest.fixture(scope="module", autouse=True)
def everything_imported() -> None:
    for stage in STAGES.values():
        importlib.import_module(stage.module)


def points(calls: int, wanted: int) -> list[int]:
    """`wanted` calls of 1..calls, evenly spread; all of them if that is 0 or too many."""
    if wanted == 0 or wanted >= calls:
        return list(range(1, calls + 1))
    return [1 + (2 * i + 1) * calls // (2 * wanted) for i in range(wanted)]


@pytest.mark.parametrize("bench", MADE, indirect=True)
def test_a_call_fails_and_the_item_is_whole_or_absent(bench: Bench) -> None:
    calls = len(bench.make(Fault("count")).calls)
    assert bench.made() == bench.wanted
    bench.take_away()
    tried: dict[str, int] = {}
    turn = MADE.index(bench.stage)
    for number, nth in enumerate(points(calls, POINTS)):
        action = FAULTS[(number + turn) % 3]
        outcome = bench.make(Fault(action, nth))
        where = f"{action} at call {nth}: {outcome.last}\n{outcome.text}"
        assert bench.torn() == [], where
        assert bench.made() in (None, bench.wanted), where
        if action == "kill":
            assert outcome.status == -9, where
        elif action == "full" and bench.made() is None:
            assert outcome.status == 2 and "no room left" in outcome.text, where
            assert bench.folder in outcome.text, where
        again = bench.make()
        assert again.status == 0, f"{where}\n{again.text}"
        assert bench.made() == bench.wanted, where
        litter = bench.litter()
        dead = [path for path in litter if path.parent.name == ".leases"]
        assert all(draft.name.startswith(".") or draft in dead for draft in litter), where
        # a removal that fails leaves what it should have removed: then a lease, or the draft of one
        assert action == "kill" or litter == dead, where
        for draft in litter:  # `gc` collects them
            draft.unlink()
        bench.take_away()
        tried[action] = tried.get(action, 0) + 1
    print(f"{bench.stage}: {calls} calls, injected {tried}")


@pytest.mark.parametrize("bench", MADE, indirect=True)
def test_a_file_that_cannot_grow_is_a_full_disk(bench: Bench) -> None:
    largest = max(len(content) for content in bench.wanted.values())
    for share in (0.0, 0.3, 0.9) if POINTS == 0 else (0.6,):
        outcome = bench.make(largest=int(share * largest))
        assert bench.made() is None and bench.torn() == [], outcome.text
        assert outcome.status == 2 and "no room left" in outcome.text, outcome.text
        assert bench.folder in outcome.text and "free some space" in outcome.text
        again = bench.make()
        assert again.status == 0 and bench.made() == bench.wanted, again.text
        bench.take_away()


def test_the_harness_sees_what_a_job_does(tmp_path: Path) -> None:
    """Guards the others: a fault that is never injected would let every one of them pass."""
    root = tmp_path

    def work() -> None:
        Path("a").write_text("x")
        os.replace("a", "b")

    assert in_child(root, work, Fault("fail", 9)).calls == ["open a", "os.rename b"]
    (root / "b").unlink()
    assert in_child(root, work, Fault("fail", 1)).status == 1 and not (root / "a").exists()
    assert in_child(root, work, Fault("kill", 2)).status == -9 and (root / "a").exists()
    assert in_child(root, work, Fault("full", 1)).status == 1

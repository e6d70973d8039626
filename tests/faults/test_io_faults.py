"""Every call of a job that changes a file fails once, or is its last; then the job runs again.

INTERPSWEEP_POINTS sets at how many calls of each stage (3, spread over all), and the three faults
take turns. 0 means every call that differs from the others, with each of the three: of calls that
are alike but for numbers (the chunks of an array, say) the first and the last.
"""

from __future__ import annotations

import importlib
import os
import re
from pathlib import Path

import pytest
from conftest import Bench
from injection import Action, Fault, in_child

from interpsweep.stages import STAGES

POINTS = int(os.environ.get("INTERPSWEEP_POINTS", "3"))
# the sweep has no SAEs from outside, probes, interventions or layers that are matched; their stages
# publish like the others
MADE = [name for name in STAGES if name not in ("import", "probe", "intervene", "complex")]
FAULTS: tuple[Action, ...] = ("fail", "full", "kill")


@pytest.fixture(scope="module", autouse=True)
def everything_imported() -> None:
    for stage in STAGES.values():
        importlib.import_module(stage.module)


def points(calls: list[str], wanted: int, turn: int) -> list[tuple[int, Action]]:
    """At which calls (from 1) which fault is injected, see above."""
    chosen = places(calls, wanted)
    if wanted:
        return [(nth, FAULTS[(i + turn) % 3]) for i, nth in enumerate(chosen)]
    return [(nth, fault) for nth in chosen for fault in FAULTS]


def places(calls: list[str], wanted: int) -> list[int]:
    """`wanted` of the calls (numbers from 1), evenly spread; 0: all that differ."""
    if wanted:
        spread = (1 + (2 * i + 1) * len(calls) // (2 * wanted) for i in range(wanted))
        return list(dict.fromkeys(spread))
    alike: dict[str, list[int]] = {}
    for nth, call in enumerate(calls, 1):
        alike.setdefault(re.sub(r"[0-9a-f]{8,}|[0-9]+", "#", call), []).append(nth)
    return sorted({nth for same in alike.values() for nth in (same[0], same[-1])})


@pytest.mark.parametrize("bench", MADE, indirect=True)
def test_a_call_fails_and_the_item_is_whole_or_absent(bench: Bench) -> None:
    calls = bench.make(Fault("count")).calls
    assert bench.made() == bench.wanted
    bench.take_away()
    tried: dict[str, int] = {}
    for nth, action in points(calls, POINTS, MADE.index(bench.stage)):
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
    print(f"{bench.stage}: {len(calls)} calls, injected {tried}")


# rows and arrays, weights, a table: what writes by its own means
@pytest.mark.parametrize(
    "bench", MADE if POINTS == 0 else ["capture", "train", "tree"], indirect=True
)
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

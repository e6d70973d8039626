"""The census claims nothing where nothing is arranged, and finds what is; small counts of the job
behind docs/calibration.md.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from benchmark_scripts import benchmark
from markers import slow


@pytest.fixture(scope="module")
def calibration():
    return benchmark("calibration")


@pytest.mark.parametrize("kind", [slow("isotropic"), "superposition, frequent and rare"])
def test_structureless_worlds_lead_to_no_more_claims_than_the_level(calibration, kind):
    rows = [
        calibration.false_discoveries(
            calibration.structureless_world(kind, seed, None), seed, False
        )
        for seed in range(12)
    ]
    wrong = sum(row["false_families"] for row in rows)
    families = sum(row["families"] for row in rows)
    assert binomtest(wrong, families, calibration.LEVEL, alternative="greater").pvalue > 0.01
    assert sum(row["tests"] for row in rows) > 200
    # single tests are level too: their share below 5 % over all runs, within four standard errors
    below = np.array([row["below"] for row in rows])
    assert below.mean() < 0.05 + 4 * below.std() / np.sqrt(len(rows))


def test_a_circle_that_its_surroundings_gather_is_found_and_named(calibration):
    case = {"shape": "circle", "size": 12, "noise": 0.3, "tokens": 6000}
    found = [calibration.detection(case, seed) for seed in range(3)]
    assert all(row["gathered"] and row["claimed"] and row["named"] for row in found)


@pytest.mark.parametrize("seed", [0, 1])
def test_circles_within_a_group_are_found_as_its_parts(calibration, seed):
    """Two circles of seven in planes of their own, whose values share most of their surroundings:
    they are gathered as one group, which is no circle, and each is a part of it, which is.
    """
    turn = 2 * np.pi * np.arange(7) / 7
    circle = np.column_stack([np.cos(turn), np.sin(turn)])
    world = calibration.nested(np.kron(np.eye(2), circle), 1.0, np.random.default_rng(seed))
    table, groups = calibration.census(world, seed)
    # all ids are frequent, so kinds of tokens are numbered by their ids
    of = {
        source: {n: g.kinds.tolist() for n, g in enumerate(groups) if g.source == source}
        for source in ("tokens", "token parts")
    }
    assert list(range(14)) in of["tokens"].values()
    halves = [list(range(7)), list(range(7, 14))]
    assert sorted(of["token parts"].values()) == halves
    of_parts = table[table["cluster"].isin(of["token parts"])]
    assert set(of_parts["best_model"]) == {"circle"}
    assert of_parts[of_parts["test"] == "circle"].groupby("cluster")["q"].min().max() <= 0.05


def test_a_stopped_job_goes_on_and_forgets_what_other_code_made(calibration, tmp_path, monkeypatch):
    wanted = calibration.jobs(["structureless", "power"], 2, 0, 1, real=False)
    assert (
        len({calibration._key(job) for job in wanted})
        == len(wanted)
        == 2 * 7 + len(calibration.cases())
    )
    (tmp_path / "runs.jsonl").write_text(
        '{"part": "power", "code": "old"}\n{"part": "power", "code": "new"}\n'
    )
    monkeypatch.setattr(calibration, "code_digest", lambda: "new")
    assert len(calibration.load(tmp_path)) == 1

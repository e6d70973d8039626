"""Compiled loops where their machine code cannot be kept."""

from __future__ import annotations

import numpy as np

from interpsweep.commands.compile import SWEEP
from interpsweep.compiled import compiled, put
from interpsweep.config.load import load_sweep
from interpsweep.plan import build_plan

SOURCE = "def doubled(values):\n    return 2 * values.sum()\n"


def test_without_a_folder_for_machine_code_loops_are_compiled_in_memory():
    # numba finds no folder for a function of no file, as for one in folders it cannot write to
    held: dict = {}
    exec(compile(SOURCE, "<nowhere>", "exec"), held)
    assert compiled(held["doubled"])(np.arange(4.0)) == 12


def test_put_copies_into_a_view():
    target = np.zeros(5, np.float32)
    put(target[1:3], np.array([3.0, 4.0]))
    assert target.tolist() == [0, 3, 4, 0, 0]


def test_the_sweep_that_compiles_loops_is_a_sweep_of_this_version(tmp_path):
    config = tmp_path / "sweep.yaml"
    config.write_text(SWEEP)
    stages = {job.stage for job in build_plan(load_sweep([config]), {}).jobs}
    assert {"train", "match", "geometry", "children"} <= stages

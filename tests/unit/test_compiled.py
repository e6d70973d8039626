"""Compiled loops where their machine code cannot be kept."""

from __future__ import annotations

import numpy as np

from interpsweep.compiled import compiled, put

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

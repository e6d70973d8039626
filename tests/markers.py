"""Marks of tests that have no fixture to stand in."""

from __future__ import annotations

from typing import Any

import pytest


def slow(*values: Any) -> Any:
    """A parameter set that `make test-all` tries and continuous integration does not."""
    return pytest.param(*values, marks=pytest.mark.slow)

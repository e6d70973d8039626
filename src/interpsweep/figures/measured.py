"""Measured and written by `benchmarks/calibration.py`; see docs/calibration.md."""

from typing import Any

FALSE_DISCOVERIES: list[dict[str, Any]] = []

POWER: list[dict[str, Any]] = []

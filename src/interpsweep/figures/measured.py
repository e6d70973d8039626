"""Measured by `benchmarks/calibration.py`, which writes this module; see docs/calibration.md."""

from typing import Any

FALSE_DISCOVERIES: list[dict[str, Any]] = []

POWER: list[dict[str, Any]] = []

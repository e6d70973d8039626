"""What was measured of the census and of the trees, and comes with them: tables in `measurements/`.

``false_discoveries`` and ``power`` come from `benchmarks/calibration.py` (docs/calibration.md),
``edge_types`` and ``edge_worlds`` by `benchmarks/edge_types.py` (docs/methods.md).
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

FOLDER = Path(__file__).parent / "measurements"


def read(name: str) -> pd.DataFrame:
    """A measured table, with no rows if it was not measured."""
    path = FOLDER / f"{name}.csv"
    if not path.exists():
        return pd.DataFrame()
    return pd.read_csv(path)


def write(name: str, table: pd.DataFrame) -> None:
    """Keep a measured table, numbers to six digits; one without rows is taken away."""
    path = FOLDER / f"{name}.csv"
    if table.empty:
        path.unlink(missing_ok=True)
        return
    floats = table.select_dtypes("float").columns
    shown = table.assign(**{c: [float(f"{v:.6g}") for v in table[c]] for c in floats})
    shown.to_csv(path, index=False, lineterminator="\n")

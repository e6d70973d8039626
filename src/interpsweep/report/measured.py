"""What was measured of the census and of the trees, and comes with them: tables in `measurements/`.

``false_discoveries`` and ``power`` come from `benchmarks/calibration.py` (docs/calibration.md),
``edge_types`` and ``edge_worlds`` by `benchmarks/edge_types.py` (docs/methods.md), which draw them.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

FOLDER = Path(__file__).parent / "measurements"
NOMINAL, SIZE = 0.05, 12  # false-discovery rate; directions of the shapes whose power is told


def told() -> str:
    """The calibration of this version of the program in words; "" if it was not measured."""
    nothing, planted = read("false_discoveries"), read("power")
    if nothing.empty or planted.empty:
        return ""
    wrong, families = int(nothing["false_families"].sum()), int(nothing["families"].sum())
    alone = planted[(planted["tokens"] == 0) & (planted["size"] == SIZE)]
    clear = alone[alone["noise"] == alone["noise"].min()].set_index("shape")["named"]
    named = ", ".join(f"{shape} {share:.0%}" for shape, share in clear.items())
    return (
        f"The census of this version, on {int(nothing['runs'].sum()):,} dictionaries in which "
        f"nothing is arranged, makes a false claim in {wrong} of {families:,} families of tests "
        f"({wrong / families:.1%}; nominal {NOMINAL:.0%}). Of shapes of {SIZE} directions planted "
        f"with little noise it claims with the right name: {named}. More in docs/calibration.md, "
        "and of the types of edges in docs/methods.md."
    )


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

"""What acting on labelled concepts does to a model's answers, with q over the sweep."""

from __future__ import annotations

import numpy as np
import pandas as pd

from interpsweep.claims.multiplicity import q_values, with_q
from interpsweep.columns import EFFECTS, OF_SAE
from interpsweep.sources import Source, stacked
from interpsweep.tables import typed

COLUMNS = {**OF_SAE, **EFFECTS, **dict.fromkeys(("q", "logit_q"), "float64")}


def table(found: list[Source]) -> pd.DataFrame:
    """`interventions.parquet`: all actions of the sweep; q over those of one name (rotate, ...)."""
    made = typed(stacked(found, "effects"), COLUMNS)
    if not len(made):
        return made
    made = with_q(made, ["action"])
    logit = made.groupby("action", sort=True)["logit_p"]
    return made.assign(logit_q=logit.transform(lambda p: q_values(p.to_numpy(np.float64))))

"""From a sweep's configuration to the exact items, jobs and readable results it means.

`pipeline.py` writes every item's spec, `jobs.py` groups items into jobs, `build.py` puts the two
together, `estimate.py` says what all of it will cost. Nothing
here touches torch, numpy or data.
"""

from interpsweep.plan.build import Plan, build_plan

__all__ = ["Plan", "build_plan"]

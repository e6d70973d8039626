"""The plan of a sweep with absorption by ablation; nothing is run."""

from __future__ import annotations

from typing import Any

from edits import SITES


def test_the_next_site_judges_ablation(folder: Any, base: dict[str, Any]) -> None:
    base["probes"] = {"methods": ["ablation"]}
    base["keep"] = {"activations": "until_trained"}
    folder.write(base)
    plan = folder.plan()
    captured = {item.at["site"]: item for item in plan.items.of("capture", model="one")}
    first, last = SITES[:2]
    at_first, at_last = (plan.items.of("probe", model="one", site=site) for site in (first, last))
    assert len(at_first) == len(plan.items.of("train", model="one", site=first)) > 0
    for item in at_first:
        inputs, settings = item.spec["inputs"], item.spec["settings"]
        assert inputs["later"] == captured[last].digest
        assert inputs["model"] == captured[first].spec["inputs"]["model"]
        assert (settings["site"], settings["later_site"]) == (first, last)
        # which are kept as long as that
        assert plan.job_of[item.digest].index in plan.readers[captured[last].digest]
    for item in at_last:  # nothing follows: no model, no gradients
        assert not {"later", "model"} & item.spec["inputs"].keys()
        assert "later_site" not in item.spec["settings"]
    base["probes"] = {"methods": ["projection"]}
    folder.write(base)
    for item in folder.plan().items.of("probe"):
        assert item.spec["inputs"].keys() == {"sae", "codes", "activations", "masks", "corpus"}

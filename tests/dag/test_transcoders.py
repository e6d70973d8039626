"""The plan of a sweep with transcoders beside SAEs; nothing is run."""

from __future__ import annotations

from typing import Any

import pytest

from interpsweep.errors import UserError

IN, OUT = "blocks.{}.hook_mlp_in", "blocks.{}.hook_mlp_out"


@pytest.fixture
def data(base: dict[str, Any]) -> dict[str, Any]:
    base["models"][0]["sites"] = ["blocks.{0..1}.hook_mlp_in", "blocks.{0..1}.hook_mlp_out"]
    base["train"]["architectures"] = [
        "topk",
        {"architecture": "topk", "output_site": "blocks.{layer}.hook_mlp_out"},
    ]
    return base


def test_transcoders_are_a_family_of_their_own(folder, data) -> None:
    folder.write(data)
    items = folder.plan().items
    captured = {item.at["site"]: item.digest for item in items.of("capture")}
    for layer in (0, 1):
        saes = items.of("train", site=IN.format(layer), model="one")
        assert [s.at["architecture"] for s in saes] == 4 * ["topk"] + 4 * ["topk_transcoder"]
        for sae in saes:
            transcodes = sae.at["architecture"] == "topk_transcoder"
            inputs = sae.spec["inputs"]
            assert inputs["activations"] == captured[IN.format(layer)]
            expected = captured[OUT.format(layer)] if transcodes else None
            assert inputs.get("targets") == expected
            # what reads decoder rows gets the activations among which they live
            space = expected or inputs["activations"]
            (geometry,) = [g for g in items.of("geometry") if g.spec["inputs"]["sae"] == sae.digest]
            assert geometry.spec["inputs"]["activations"] == space
            (codes,) = [c for c in items.of("encode") if c.spec["inputs"]["sae"] == sae.digest]
            assert codes.spec["inputs"]["activations"] == inputs["activations"]
            # planes of concepts are among the activations that the SAEs of the site reconstruct
            (held,) = [r for r in items.of("recovery") if r.spec["inputs"]["sae"] == sae.digest]
            assert len(held.spec["inputs"]["concepts"]) == (not transcodes)
        # a site that would predict itself has the same SAEs, once
        here = items.of("train", site=OUT.format(layer), model="one")
        assert [s.at["architecture"] for s in here] == 4 * ["topk"]
    for match in items.of("match"):
        assert match.at["a"]["architecture"] == match.at["b"]["architecture"]


def test_a_site_that_is_only_predicted_needs_no_saes(folder, data) -> None:
    nothing = {"train": {"widths": []}}
    data["models"][0]["sites"][1] = {"site": data["models"][0]["sites"][1], "overrides": nothing}
    folder.write(data)
    items = folder.plan().items
    assert not items.of("train", site=OUT.format(0), model="one")
    assert len(items.of("train", site=IN.format(0), model="one")) == 8
    data["train"]["architectures"] = ["topk"]
    folder.write(data)
    with pytest.raises(UserError, match=r"no SAEs at blocks.0.hook_mlp_out.*no transcoder"):
        folder.plan()


def test_adding_transcoders_leaves_the_saes_alone(folder, data) -> None:
    folder.write({**data, "train": {**data["train"], "architectures": ["topk"]}})
    before = set(folder.plan().items.by_digest)
    folder.write(data)
    items = folder.plan().items
    added = [item for digest, item in items.by_digest.items() if digest not in before]
    assert {i.at["architecture"] for i in added if i.stage in ("train", "encode", "evaluate")} == {
        "topk_transcoder"
    }
    assert not [i for i in added if i.stage in ("capture", "corpus", "model", "concepts")]


def test_activations_are_kept_until_their_transcoders_are_trained(folder, data) -> None:
    folder.write({**data, "keep": {"activations": "until_trained"}})
    plan = folder.plan()
    (target,) = [i.digest for i in plan.items.of("capture", site=OUT.format(0), model="one")]
    trains = {plan.job_of[i.digest].index for i in plan.items.of("train") if
              i.spec["inputs"].get("targets") == target}  # fmt: skip
    assert trains and trains <= set(plan.readers[target])


@pytest.mark.parametrize(
    "output,words",
    [
        ("blocks.{layer}.hook_mlp_ot", ["train.output_site", "did you mean", "hook_mlp_out"]),
        ("blocks.0.hook_mlp_in", ["lies before", "blocks.1.hook_mlp_in"]),
    ],
)
def test_outputs_that_cannot_be_predicted_are_refused(folder, data, output, words) -> None:
    data["train"]["architectures"][1]["output_site"] = output
    folder.write(data)
    with pytest.raises(UserError) as error:
        folder.plan()
    for word in words:
        assert word in str(error.value)

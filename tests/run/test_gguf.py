"""A model in a GGUF file, from the file to evaluated SAEs: made into a checkpoint once."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("gguf")

from gguf_files import write_gguf
from interpsweep.activations.artifact import Activations
from interpsweep.corpora.artifact import Corpus
from places import Place

pytestmark = pytest.mark.quick

SITES = ("blocks.0.hook_resid_post", "blocks.1.hook_resid_post")
SWEEP = f"""\
sweep: tiny
models: [{{name: tiny, source: path, path: models/tiny.gguf, sites: [{", ".join(SITES)}]}}]
corpus: {{source: templates, slots: [weekday, number], n_tokens: 6000, context_length: 32}}
train: {{widths: [32], sparsities: [4], seeds: [0], tokens: 4000}}
concepts: {{min_tokens: 4}}
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    place = Place(tmp_path_factory.mktemp("gguf"))
    (place.root / "models").mkdir()
    write_gguf(place.root / "models/tiny.gguf")
    (place.root / "tiny.yaml").write_text(SWEEP)
    for part in ("evaluations", "concepts"):
        place.run("run", "tiny.yaml", "--target", part)
    return place


def only(place: Place, kind: str) -> Path:
    (found,) = (place.root / "store" / kind).iterdir()
    return found


def test_one_checkpoint_is_made_and_every_stage_reads_it(place: Place) -> None:
    made = place.stages(set(place.items()))
    assert {stage: made.count(stage) for stage in ("model", "corpus", "capture", "train", "evaluate", "concepts")} == {
        "model": 1, "corpus": 1, "capture": 2, "train": 2, "evaluate": 2, "concepts": 2}  # fmt: skip
    checkpoint = json.loads((only(place, "models") / "manifest.json").read_text())
    assert set(checkpoint["files"]) == {
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    digest = checkpoint["digest"]
    for kind in ("corpora", "activations", "evaluations"):
        for item in (place.root / "store" / kind).iterdir():
            assert (
                json.loads((item / "manifest.json").read_text())["spec"]["inputs"]["model"]
                == digest
            )
    locked = json.loads((place.root / "tiny.lock.json").read_text())["inputs"]
    assert checkpoint["spec"]["settings"]["weights"] == locked["checkpoint:models/tiny.gguf"]


def test_captured_rows_are_what_transformers_computes(place: Place) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    plain = AutoModelForCausalLM.from_pretrained(only(place, "models"), dtype=torch.float32).eval()
    corpus = Corpus.open(only(place, "corpora"))
    (folder,) = (place.root / "store/activations").glob(f"{SITES[0]}-*")
    ids = torch.from_numpy(np.asarray(corpus.tokens(0)).astype(np.int64))[None]
    with torch.no_grad():
        states = plain(ids, output_hidden_states=True).hidden_states[1][0].numpy()
    kept = ~np.asarray(corpus.special[: ids.numel()]).astype(bool)
    found = Activations.open(folder).read(0, int(kept.sum())).astype(np.float32)
    np.testing.assert_allclose(found, states[kept], rtol=2e-3, atol=2e-3)  # float16 on disk


def test_the_file_may_go_once_it_was_used(place: Place) -> None:
    """Another site is captured from the checkpoint, and the plan knows the contexts' marks."""
    shutil.move(place.root / "models/tiny.gguf", place.root / "elsewhere.gguf")
    try:
        assert "contexts of tiny: <|im_start|>" in place.run("plan", "tiny.yaml")
        before = set(place.items())
        changed = SWEEP.replace("{widths: [32]", "{widths: [48]").replace(
            "tokens: 4000", "tokens: 3000"
        )
        (place.root / "tiny.yaml").write_text(changed)
        place.run("run", "tiny.yaml", "--target", "evaluations")
        assert place.stages(set(place.items()) - before) == ["evaluate"] * 2 + ["train"] * 2
    finally:
        shutil.move(place.root / "elsewhere.gguf", place.root / "models/tiny.gguf")
        (place.root / "tiny.yaml").write_text(SWEEP)


def test_a_damaged_file_stops_before_anything_is_made(place: Place) -> None:
    whole = (place.root / "models/tiny.gguf").read_bytes()
    (place.root / "models/half.gguf").write_bytes(whole[: len(whole) // 2])
    (place.root / "half.yaml").write_text(
        SWEEP.replace("tiny.gguf", "half.gguf").replace("sweep: tiny", "sweep: half")
    )
    said = place.run("run", "half.yaml", status=2)
    assert "models/half.gguf: not a GGUF file, or a damaged one" in said and "Traceback" not in said
    assert not (place.root / "half.lock.json").exists()


def test_a_site_that_is_none_is_named_before_anything_is_made(place: Place) -> None:
    (place.root / "wrong.yaml").write_text(
        SWEEP.replace("blocks.1.hook_resid_post", "blocks.2.hook_resid_post")
    )
    before = set(place.items())
    said = place.run("run", "wrong.yaml", status=2)
    assert "no hook is called 'blocks.2.hook_resid_post'" in said and "Traceback" not in said
    assert set(place.items()) == before

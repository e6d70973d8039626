"""Stage intervene: prompts whose answers follow the value, shifts that reach a class mean, tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from corpora_place import MODEL, make
from interpsweep.claims import interventions as claimed
from interpsweep.claims import rows
from interpsweep.columns import EFFECTS, VALUES
from interpsweep.config.analysis import ClaimsSettings
from interpsweep.config.corpora import GeneratedCorpus, LanguageSettings, TemplateCorpus
from interpsweep.config.intervene import InterveneSettings
from interpsweep.config.models import Architecture
from interpsweep.context import Context
from interpsweep.corpora.artifact import Corpus
from interpsweep.corpora.sources import templates
from interpsweep.errors import UserError
from interpsweep.geometry.concept_vectors import ClassMeans, write_vectors
from interpsweep.interventions import act, intervene
from interpsweep.interventions.prompts import (
    Planted,
    Questions,
    Text,
    forms,
    questions,
    step_on,
)
from interpsweep.interventions.subspaces import RandomRows, of_latents, of_means
from interpsweep.models import native
from interpsweep.models.load import load_model
from interpsweep.saes.artifact import write_dictionary
from interpsweep.sources import Source
from interpsweep.tables import read_json, read_parquet, typed, write_parquet
from interpsweep.worlds import language
from saes_world import Made

D, SITE = 16, "blocks.0.hook_resid_post"
SMALL = Architecture(n_layers=2, d_model=D, n_heads=2, d_mlp=32, n_ctx=24)
SETTINGS = InterveneSettings(actions=("shift", "ablate"), steps=(1, 7), prompts=1, draws=19)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    settings = GeneratedCorpus(n_tokens=12_000, context_length=24, eval_share=0.3)
    return make(settings, tmp_path_factory.mktemp("corpus"))


# ------------------------------------------------------------------------------------ prompts


def test_prompts_of_the_planted_language_have_the_answer_that_it_gives(corpus: Corpus) -> None:
    lang = language(LanguageSettings(noise=0.0, share_taxonomy=0, share_filler=0))
    words = np.array(lang.vocabulary)
    text = " ".join(words[lang.sample(3000, 64, seed=5).tokens.ravel()])
    followed: dict[tuple[str, ...], set[str]] = {}  # beginning of a sentence -> next words
    for sentence in text.replace("<bos>", ".").split(" . "):
        said = sentence.split()
        for n in range(1, len(said)):
            followed.setdefault(tuple(said[:n]), set()).add(said[n])
    writer = Planted(corpus)
    for name, asked in forms("planted").items():
        labels = corpus.concepts[name]["values"]
        every = np.arange(len(labels))
        for i, form in enumerate(asked):
            found = questions(name, corpus.concepts[name], [form], every, writer, 1, 4096, i)
            assert isinstance(found, Questions)
            agreed = 0
            for batch in found.batches:
                for ids, answer in zip(batch.tokens, batch.answer, strict=True):
                    prompt = " ".join(words[ids]).replace("<bos>", ".").split(" . ")[-1]
                    after = followed.get(tuple(prompt.removeprefix(". ").split()))
                    assert after in (None, {labels[answer]}), prompt
                    agreed += after is not None
            assert agreed > 0.7 * sum(len(batch.answer) for batch in found.batches), form


def test_slots_hold_the_values_that_the_corpus_labels(corpus: Corpus) -> None:
    ids = {word.strip(): i for i, word in enumerate(corpus.vocabulary)}
    for name, asked in forms("planted").items():
        concept = corpus.concepts[name]
        every = np.arange(len(concept["values"]))
        found = questions(name, concept, asked, every, Planted(corpus), 2, 100, 0)
        assert isinstance(found, Questions)
        of_value = np.array([ids[label] for label in concept["values"]])
        for batch in found.batches:
            assert batch.tokens.size <= 100 and (batch.tokens[:, 0] == ids["<bos>"]).all()
            slots = batch.values >= 0
            assert (batch.tokens[slots] == of_value[batch.values[slots]]).all()
            assert slots.any(axis=1).all()
        values, n = np.unique(np.concatenate([b.answer for b in found.batches]), return_counts=True)
        if concept["shape"] == "circle":  # every answer as often as any other
            assert len(values) == len(every) and len(set(n)) == 1


def test_contexts_without_room_or_whole_sentences_are_refused(tmp_path: Path) -> None:
    short = make(GeneratedCorpus(n_tokens=400, context_length=4), tmp_path / "short")
    with pytest.raises(UserError, match=r"raise corpus\.context_length"):
        list(Planted(short).prompts(["count", 3, 4, 5], ["one"] * 6, 1, np.random.default_rng(0)))
    few = make(GeneratedCorpus(n_tokens=400, context_length=64), tmp_path / "few")
    with pytest.raises(UserError, match="full stop as its token"):
        for size in range(1, 6):  # of one context, some beginning ends in the middle of a sentence
            list(Planted(few).prompts(["then"] * size, [], 1, np.random.default_rng(0)))


def test_steps_around_a_circle_and_along_a_line() -> None:
    values = np.array([-1, 0, 3, 4])
    assert step_on(values, 2, 5, "circle").tolist() == [-1, 2, 0, 1]
    assert step_on(values, 2, 5, "line").tolist() == [-1, 2, -1, -1]
    assert step_on(values, -1, 5, "circle").tolist() == [-1, 4, 2, 3]


def test_prompts_in_english_label_the_last_token_of_a_value(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(MODEL)
    settings = TemplateCorpus(slots=("month", "weekday"), n_tokens=3000, context_length=32)
    corpus = make(settings, tmp_path / "corpus")
    writer = Text(corpus, tokenizer)
    labels = ["next week", "Tuesday"]
    pieces = ["The day after ", 0, " is"]
    for prompt in writer.prompts(pieces, labels, 30, np.random.default_rng(0)):
        said = tokenizer.convert_ids_to_tokens(prompt.ids)
        (place,) = prompt.slots
        assert said[0] == "[CLS]" and said[place] == "week" and said[place - 1] == "next"
        assert said[-1] == "is" and prompt.slots[place] == 0
    assert tokenizer.convert_ids_to_tokens(writer.answers(labels)) == ["next", "tuesday"]
    alike = {"shape": "line", "values": ["first one", "first two", "second"]}
    why = questions("x", alike, forms("text")["weekday"], np.arange(3), writer, 1, 99, 0)
    assert why == "two values begin with the same token"
    # what is asked of text is asked of lists that are shipped, and their order is known
    shipped = {slot.name: slot for slot in templates.slots()}
    for name, asked in forms("text").items():
        assert shipped[name].shape in intervene.ORDERED
        assert all(abs(form.step) < len(shipped[name].values) for form in asked)


# ------------------------------------------------------------------------------------ actions


def means(k: int, d: int = 8) -> ClassMeans:
    rng = np.random.default_rng(0)
    angle = 2 * np.pi * np.arange(k) / k
    found = np.c_[np.cos(angle), np.sin(angle), 0.3 * rng.standard_normal((k, d - 2))]
    return ClassMeans(np.arange(k), found, np.eye(2, d))


def test_a_shift_reaches_the_class_mean_and_leaves_the_rest() -> None:
    found = means(5)
    plane, span = of_means(found, 5)
    assert (plane.space, len(plane.rows), span.space, len(span.rows)) == ("plane", 2, "span", 4)
    its = Questions("day", "circle", np.arange(5), np.ones(5, bool), [])
    rng = np.random.default_rng(1)
    values = np.array([[-1, 0, -1, 3], [-1, 4, 2, -1]])
    x = rng.standard_normal((4, 8))
    asked = act.Asked(act.Batch(values, values, np.array([1, 0])), x, np.zeros((2, 5)))
    for subspace in (plane, span):
        moved = x + act._shift(asked, its, subspace, act.Action("rotate", 2)) @ subspace.rows
        wanted = found.means[[2, 0, 1, 4]]
        np.testing.assert_allclose(moved @ subspace.rows.T, wanted @ subspace.rows.T, atol=1e-12)
        rest = np.eye(8) - subspace.rows.T @ subspace.rows
        np.testing.assert_allclose(moved @ rest, x @ rest, atol=1e-12)
        gone = x + act._shift(asked, its, subspace, act.Action("ablate", 0)) @ subspace.rows
        middle = found.means.mean(axis=0) @ subspace.rows.T
        np.testing.assert_allclose(gone @ subspace.rows.T, np.tile(middle, (4, 1)), atol=1e-12)
    # a value without a class mean is no target, and its prompts are left out
    its = Questions("day", "circle", np.arange(5), np.arange(5) != 4, [])
    for steps, row in ((1, 1), (2, 0), (3, 1)):
        kept = act._with_targets(asked, its, act.Action("rotate", steps))
        assert (kept.batch.values == values[row]).all()
        assert (kept.x == x[2 * row : 2 * row + 2]).all()


def test_what_is_reached_is_counted_among_the_values() -> None:
    answer, wanted = np.array([0, 1, 2, 0]), np.array([1, 2, 0, 1])
    logits = np.array([[0, 5, 1], [0, 1, 5], [0, 1, 2], [4, 1, 0]], float)
    rotate, ablate = act.Action("rotate", 1), act.Action("ablate", 0)
    before = np.eye(3)[answer]
    found = act._reached(logits, before, answer, wanted, rotate)
    assert found.effect == 0.5 and found.logit == pytest.approx((5 + 4 - 2 - 3) / 4)
    found = act._reached(logits, before, answer, answer, ablate)
    assert found.effect == 0.5  # two of four right answers are lost
    assert found.logit == pytest.approx((3 + 1.5 - 1.5 - 3.5) / 4)


def test_latents_hold_a_plane_if_enough_of_them_stand_for_values() -> None:
    found, directions = means(6), np.eye(8, dtype=np.float32)
    held = pd.DataFrame({"feature": [0, 1, 2, 2, 3, 4], "count": [50] * 5 + [3], "f1": 0.9})
    held.loc[4, "f1"] = 0.2
    plane, span = of_latents(found, 6, "circle", held, directions)
    np.testing.assert_allclose(span.rows.T @ span.rows, np.diag([1, 1, 1, *[0] * 5]), atol=1e-12)
    assert plane.rows.shape == (2, 8) and plane.source == "latents"
    np.testing.assert_allclose(plane.points, found.means @ plane.rows.T)
    assert list(of_latents(found, 6, "circle", held[:2], directions)) == []
    line, _ = of_latents(found, 6, "line", held[:2], directions)
    assert line.space == "line" and line.rows.shape == (1, 8)


def test_random_directions_have_the_covariance_and_are_the_same_again() -> None:
    variance = np.array([100.0, 1.0, 1.0, 1e-9])
    random = RandomRows(np.diag(variance), seed=3)
    rows = np.array([random.draw(i, 1)[0] for i in range(200)])
    energy = (rows**2).mean(axis=0)
    assert energy[0] > 0.7 and energy[3] < 1e-6
    pair = random.draw(0, 2)
    np.testing.assert_allclose(pair @ pair.T, np.eye(2), atol=1e-12)
    np.testing.assert_array_equal(pair, RandomRows(np.diag(variance), seed=3).draw(0, 2))


# -------------------------------------------------------------------------------------- stage


@pytest.fixture(scope="module")
def place(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A model that knows nothing, class means that are drawn, an SAE of single dimensions."""
    root = tmp_path_factory.mktemp("place")
    for name in ("model", "concepts", "recovery"):
        (root / name).mkdir()
    config = native.native_config(SMALL, len(corpus.vocabulary), 0)
    native.save(native.build(config), config, corpus.vocabulary, root / "model")
    rng = np.random.default_rng(0)
    drawn = {name: rng.standard_normal((len(corpus.concepts[name]["values"]), D))
             for name in ("weekday", "number")}  # fmt: skip
    planes = {name: np.linalg.qr(m.T)[0].T[:2] for name, m in drawn.items()}
    write_vectors(planes, drawn, root / "concepts")
    kept = [{"concept": name, "value": v} for name, m in drawn.items() for v in range(len(m))]
    write_parquet(pd.DataFrame(kept), root / "concepts" / "means.parquet")
    held = [{"concept": "weekday", "value": v, "feature": v, "count": 40, "f1": 0.8, "label": "",
             "threshold": 0.0, "precision": 1.0, "recall": 1.0} for v in range(7)]  # fmt: skip
    write_parquet(typed(held, VALUES), root / "recovery" / "values.parquet")
    eye = np.eye(D, dtype=np.float32)
    tensors = {"W_enc": eye, "W_dec": eye, "b_enc": np.zeros(D), "b_dec": np.zeros(D)}
    write_dictionary(root / "sae", "standard", tensors)
    return {name: root / name for name in ("model", "concepts", "recovery", "sae")} | {
        "corpus": corpus.path
    }


def made(place: dict[str, Path], root: Path, sae: bool, site: str = SITE, **changed: Any) -> Made:
    settings = {**SETTINGS.model_copy(update=changed).identity(), "site": site}
    spec = {"settings": {**settings, "model": {"source": "trained"}}}
    root.mkdir(exist_ok=True)
    roles = ("model", "corpus", "concepts", *(("sae", "recovery") if sae else ()))
    return Made(root / ("of_sae" if sae else "of_site"), spec, {r: place[r] for r in roles})


def test_a_site_and_its_saes_share_their_prompts(place: dict[str, Path], tmp_path: Path) -> None:
    items = [made(place, tmp_path, sae) for sae in (False, True)]
    intervene.run(items, Context())
    of_site, of_sae = (read_parquet(item.out / "effects.parquet") for item in items)
    assert list(of_site.columns) == list(EFFECTS)
    at = ["concept", "source", "space", "action", "steps"]
    days = [("weekday", "means", space, *what) for space in ("plane", "span")
            for what in (("rotate", 1), ("ablate", 0))]  # fmt: skip
    numbers = [("number", "means", space, *what) for space in ("plane", "span")
               for what in (("shift", 1), ("shift", 7), ("ablate", 0))]  # fmt: skip
    assert set(of_site[at].itertuples(index=False, name=None)) == {*days, *numbers}
    assert set(of_sae["source"]) == {"latents"} and set(of_sae["concept"]) == {"weekday"}
    for table in (of_site, of_sae):
        assert table[["effect", "null_mean", "p", "logit", "logit_p"]].notna().all().all()
        assert table["p"].between(1 / 20, 1).all() and (table["draws"] == 19).all()
        assert table["accuracy"].lt(0.5).all()  # it was never trained
    prompts = of_site.set_index(["concept", "action", "steps"])["prompts"]
    assert prompts["weekday"].eq(7 * len(forms("planted")["weekday"])).all()
    assert prompts["number", "shift", 7].max() < prompts["number", "ablate", 0].min()
    assert items[0].metrics["left_out"] == {"month": "fewer than three values have enough tokens"}
    # alone, and again, an item is the same
    alone = made(place, tmp_path / "again", True)
    intervene.run([alone], Context())
    assert read_parquet(alone.out / "effects.parquet").equals(of_sae)


def test_what_cannot_be_acted_on_is_said(place: dict[str, Path], tmp_path: Path) -> None:
    item = made(place, tmp_path / "a", False, concepts=("number",), steps=(30,), actions=("shift",))
    intervene.run([item], Context())
    assert read_parquet(item.out / "effects.parquet").empty
    assert item.metrics["left_out"] == {"number, shift 30": "beyond the ends"}
    item = made(place, tmp_path / "b", False, site="blocks.0.hook_resid_mid")
    intervene.run([item], Context())
    assert read_json(item.out / "summary.json")["left_out"] == {
        "all": "the skip connection goes around this hook"
    }
    with pytest.raises(UserError, match=r"labelled concept 'weekdy' .* did you mean 'weekday'"):
        intervene.run([made(place, tmp_path / "c", False, concepts=("weekdy",))], Context())


def test_a_change_reaches_the_answer_only_from_the_slots(place: dict[str, Path]) -> None:
    """Behind the last block only a prompt that ends in a slot can change its answer."""
    model = load_model({"source": "trained"}, place["model"], Context())
    corpus = Corpus.open(place["corpus"])
    concept, asked = corpus.concepts["weekday"], forms("planted")["weekday"]
    rng = np.random.default_rng(0)
    for site, last in ((SITE, False), ("blocks.1.hook_resid_post", True)):
        for form, ends in ((asked[4], True), (asked[0], False)):
            its = questions("weekday", concept, [form], np.arange(7), Planted(corpus), 1, 99, 0)
            assert isinstance(its, Questions)
            here = act.Site(model, site)
            for one in here.ask(its):
                by = rng.standard_normal(one.x.shape)
                moved = here.answers(one, by, its.answers)
                assert np.allclose(moved, one.logits, atol=1e-5) == (last and not ends)
                still = here.answers(one, np.zeros_like(one.x), its.answers)
                np.testing.assert_allclose(still, one.logits, atol=1e-5)


# ------------------------------------------------------------------------------------- claims


def test_actions_become_claims_with_q(tmp_path: Path) -> None:
    row = {"concept": "weekday", "shape": "circle", "space": "plane", "dimensions": 2,
           "prompts": 56, "values": 7, "accuracy": 0.9, "length": 0.5, "null_mean": 0.05,
           "null_high": 0.1, "logit": 1.0, "logit_before": -4.0, "logit_null": -3.0,
           "draws": 99}  # fmt: skip
    of_site = [row | {"source": "means", "action": action, "steps": steps, "effect": effect,
                      "p": p, "logit_p": p}
               for action, steps, effect, p in (("rotate", 1, 0.8, 0.01), ("rotate", 2, 0.1, 0.4),
                                                ("ablate", 0, 0.5, 0.03))]  # fmt: skip
    of_sae = [one | {"source": "latents"} for one in of_site[:1]]
    site = {"stage": "intervene", "model": "m", "site": SITE, "layer": 0}
    recipe = {"architecture": "topk", "sparsity": 4.0, "d_sae": 64}
    places = [site, *({**site, **recipe, "seed": seed} for seed in (0, 1))]
    found = []
    for i, (at, made) in enumerate(zip(places, (of_site, of_sae, of_sae), strict=True)):
        (tmp_path / str(i)).mkdir()
        write_parquet(typed(made, EFFECTS), tmp_path / str(i) / "effects.parquet")
        found.append(Source(str(i), tmp_path / str(i), at))
    table = claimed.table(found)
    assert list(table.columns) == list(claimed.COLUMNS) and len(table) == 5
    q = table.set_index(["source", "action", "steps"])["q"]
    assert q["means", "rotate", 1] == pytest.approx(0.04 / 3)  # of four rotations
    assert q["means", "ablate", 0] == pytest.approx(0.03)
    claims = rows.assemble([rows.of_interventions(table, ClaimsSettings())], ClaimsSettings())
    by = claims.set_index(["subject", "test"])
    one = by.loc[("weekday, plane of means", "rotate 1")]
    assert (one["verdict"], one["seeds"], one["d_sae"]) == ("claimed", 1, -1)
    both = by.loc[("weekday, plane of latents", "rotate 1")]
    assert both["seeds"].tolist() == both["replicated_seeds"].tolist() == [2, 2]
    assert by.loc[("weekday, plane of means", "rotate 2"), "verdict"] == "not claimed"
    assert "ablate" in claims["test"].tolist()
    empty = claimed.table([])
    assert list(empty.columns) == list(claimed.COLUMNS)
    assert rows.of_interventions(empty, ClaimsSettings()).empty

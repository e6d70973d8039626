"""The corpus stage: determinism, splits by document, labels at the right tokens, errors."""

import hashlib
import json
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer as Fast
from tokenizers import models, pre_tokenizers
from tokenizers.decoders import ByteLevel

from corpora_place import MODEL, locked, make
from interpsweep.config.corpora import (
    DocstringCorpus,
    DocstringPart,
    GeneratedCorpus,
    MixCorpus,
    TemplateCorpus,
    TemplatePart,
    TextCorpus,
)
from interpsweep.corpora import build, identity
from interpsweep.corpora.artifact import Corpus
from interpsweep.corpora.sources import docstrings, hub, templates
from interpsweep.corpora.sources.document import Document, Span
from interpsweep.corpora.tokenizer import Encoded, Tokenizer
from interpsweep.errors import UserError

WORDS = ["the", "river", "runs", "past", "the", "old", "mill", "and", "a", "village"]


def bytes_of(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def prose(tmp_path: Path, n: int = 60) -> Path:
    rng = np.random.default_rng(0)
    paragraphs = [" ".join(rng.choice(WORDS, rng.integers(5, 60))) for _ in range(n)]
    (tmp_path / "prose.txt").write_text("\n\n".join(paragraphs))
    return tmp_path / "prose.txt"


def shares_hold(corpus: Corpus, settings) -> None:
    """Every split has its share of what was asked for, short of the shortest context at most."""
    least = int(corpus.special[: corpus.offsets[1]].sum()) + 2
    shares = {"analysis": settings.analysis_share, "eval": settings.eval_share}
    shares["train"] = 1 - sum(shares.values())
    for name, (first, last) in corpus.splits.items():
        tokens = corpus.offsets[last] - corpus.offsets[first]
        assert -least < tokens - shares[name] * settings.n_tokens <= 0.5, name


# ---------------------------------------------------------------- whole corpora


def test_generated_corpus_is_deterministic_and_complete(tmp_path):
    settings = GeneratedCorpus(n_tokens=10_000, context_length=48, seed=2)
    corpus = make(settings, tmp_path / "a")
    make(settings, tmp_path / "b")
    assert bytes_of(tmp_path / "a") == bytes_of(tmp_path / "b")
    assert corpus.n_tokens == 10_000 // 48 * 48
    assert corpus.special.sum() == corpus.n_contexts
    assert set(corpus.concepts) >= {"weekday", "month", "number", "species", "filler"}
    weekday = corpus.label("weekday")
    at = int(np.flatnonzero(weekday >= 0)[0])
    before, token, _ = corpus.window(at, 3, 3)
    assert token.strip() == corpus.concepts["weekday"]["values"][weekday[at]]
    assert "<bos>" not in before


def test_text_corpus_keeps_documents_apart_and_whole(tmp_path):
    settings = TextCorpus(files=[str(prose(tmp_path))], n_tokens=1500, context_length=16)
    corpus = make(settings, tmp_path / "a")
    make(settings, tmp_path / "b")
    assert bytes_of(tmp_path / "a") == bytes_of(tmp_path / "b")
    split_documents = [
        set(corpus.document[first:last].tolist()) for first, last in corpus.splits.values()
    ]
    assert all(split_documents)
    assert sum(map(len, split_documents)) == len(set.union(*split_documents))
    shares_hold(corpus, settings)
    lengths = np.diff(corpus.offsets)
    assert lengths.max() == 16 and lengths.min() > 3
    for c in range(corpus.n_contexts):
        words = [corpus.vocabulary[i] for i in corpus.tokens(c)]
        assert words[0] == "[CLS]" and words[-1] == "[SEP]" and "[PAD]" not in words
        special = corpus.special[corpus.offsets[c] : corpus.offsets[c + 1]]
        assert special.tolist() == [1] + [0] * (len(words) - 2) + [1]
    assert not (tmp_path / "a" / "spool.partial").exists()


def test_n_tokens_is_a_cap_and_shares_hold_for_any_lengths(tmp_path):
    rng = np.random.default_rng(3)
    # a hundred short documents and a few that are each longer than the whole corpus
    lengths = [*rng.integers(5, 60, 100), 30_000, 40_000, 50_000]
    rows = [" ".join(rng.choice(WORDS, n)) for n in rng.permutation(lengths)]
    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps({"text": row}) for row in rows))
    for seed in range(4):
        settings = TextCorpus(files=[str(tmp_path / "a.jsonl")], n_tokens=2000, seed=seed)
        corpus = make(settings, tmp_path / f"o{seed}")
        assert 2000 - 3 * 3 <= corpus.n_tokens <= 2000
        shares_hold(corpus, settings)
        documents = [set(corpus.document[a:b].tolist()) for a, b in corpus.splits.values()]
        assert sum(map(len, documents)) == len(set.union(*documents))


@given(st.lists(st.floats(0.1, 9), min_size=1, max_size=5), st.integers(100, 10**6), st.data())
def test_goals_add_up_to_what_was_asked(shares, n_tokens, data):
    analysis = data.draw(st.floats(0.01, 0.5))
    parts = [TemplatePart(share=share) for share in shares]
    settings = MixCorpus(parts=parts, n_tokens=n_tokens, analysis_share=analysis, eval_share=0.1)
    wanted = build.Shares.of_parts(settings, 4)
    assert sum(sum(part.goals) for part in wanted) == n_tokens
    assert all(goal >= 0 for part in wanted for goal in part.goals)
    for share, part in zip(shares, wanted, strict=True):
        each = n_tokens * share / sum(shares)
        assert part.goals[1] == pytest.approx(each * analysis, abs=1)


def test_another_seed_permutes_the_documents(tmp_path):
    files = [str(prose(tmp_path))]
    a, b = (
        make(TextCorpus(files=files, n_tokens=1500, seed=seed), tmp_path / str(seed))
        for seed in (0, 1)
    )
    assert a.document.tolist() != b.document.tolist()


def test_template_labels_sit_on_the_last_token_of_the_slot(tmp_path):
    corpus = make(TemplateCorpus(slots=["planet", "weekday"], n_tokens=3000), tmp_path / "a")
    flat = corpus.flat(0, corpus.n_tokens)
    for concept in ("planet", "weekday"):
        labels, values = corpus.label(concept), corpus.concepts[concept]["values"]
        places = np.flatnonzero(labels >= 0)
        assert len(places) > 50
        for at in places:
            value = values[labels[at]].lower()
            assert corpus.text(flat[at - 3 : at + 1]).replace(" ", "").endswith(value)
    uranus = np.flatnonzero(corpus.label("planet") == 6)
    assert {corpus.vocabulary[i] for i in flat[uranus]} == {"anus"}  # "ur", "##anus"


def test_mix_has_its_shares(tmp_path):
    parts = [DocstringPart(packages=["seaborn"], share=3), TemplatePart(slots=["month"], share=1)]
    corpus = make(MixCorpus(parts=parts, n_tokens=8000), tmp_path / "a")
    per_document = np.bincount(corpus.document, np.diff(corpus.offsets))
    labelled = np.unique(
        corpus.document[
            np.searchsorted(corpus.offsets, np.flatnonzero(corpus.label("month") >= 0), "right") - 1
        ]
    )
    assert per_document[labelled].sum() / per_document.sum() == pytest.approx(0.25, abs=0.03)
    for first, last in corpus.splits.values():
        begin, end = corpus.offsets[first], corpus.offsets[last]
        assert (corpus.label("month")[begin:end] >= 0).any()


# ---------------------------------------------------------------- pure functions


@given(st.integers(1, 200), st.integers(5, 40), st.integers(5, 300), st.data())
def test_cut_keeps_tokens_and_labels(n, length, most, data):
    ids = np.arange(100, 100 + n, dtype=np.int32)
    offsets = np.stack([np.arange(n) * 2, np.arange(n) * 2 + 2], 1)
    token = data.draw(st.integers(0, n - 1))
    span = Span(token * 2, token * 2 + 1, "c", 5)
    contexts, labels = build.cut(
        Document("", (span,)), Encoded(ids, offsets), length, [1], [2, 3], most
    )
    flat = np.concatenate(contexts) if contexts else np.array([], np.int32)
    kept = flat[flat >= 100]
    np.testing.assert_array_equal(kept, ids[: len(kept)])
    assert all(len(c) <= length for c in contexts) and len(flat) <= most
    assert n - len(kept) < 2 or most - len(flat) < 5
    if token < len(kept):
        ((concept, position, value),) = labels
        assert (concept, value, flat[position]) == ("c", 5, 100 + token)
    else:
        assert labels == []


def test_a_slot_of_several_tokens_is_labelled_at_its_last():
    encoded = Tokenizer(MODEL).encode(["On Wednesdaynight Uranus rises."])[0]
    span = Span(18, 24, "planet", 6)
    _, labels = build.cut(Document("", (span,)), encoded, 32, [101], [102], 32)
    vocabulary = Tokenizer(MODEL).vocabulary
    assert vocabulary[encoded.ids[labels[0][1] - 1]] == "anus"


def test_tokenizer_offsets_point_at_the_words():
    text = "Déjà vu — the naïve Übermensch, again?"
    tokenizer = Tokenizer(MODEL)
    encoded = tokenizer.encode([text])[0]
    assert (np.diff(encoded.offsets[:, 0]) >= 0).all()
    pieces = [text[a:b] for a, b in encoded.offsets]
    assert "".join(pieces).replace(" ", "") == text.replace(" ", "")
    assert (tokenizer.prefix, tokenizer.suffix) == ([101], [102])
    long = tokenizer.encode(["word " * 600])[0]
    assert len(long.ids) == 600  # the saved truncation at 128 tokens is off


def test_byte_level_tokens_are_readable(tmp_path):
    vocab = {"\u0120caf\u00c3\u00a9": 0, "\u0120": 1, "<|end|>": 2, "a": 3}
    fast = Fast(models.BPE(vocab=vocab, merges=[]))
    fast.pre_tokenizer = pre_tokenizers.ByteLevel()
    fast.decoder = ByteLevel()
    fast.add_special_tokens(["<|end|>"])
    fast.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text('{"bos_token": "<|end|>"}')
    tokenizer = Tokenizer(tmp_path)
    assert tokenizer.vocabulary == [" café", " ", "<|end|>", "a"]
    assert tokenizer.prefix == [2] and tokenizer.suffix == []
    assert Tokenizer(tmp_path, prepend_bos=False).prefix == []


# ---------------------------------------------------------------- sources


def test_docstrings_come_in_a_stable_order_and_only_prose(tmp_path):
    package = tmp_path / "pkg"
    package.mkdir()
    sentence = "This function reads the whole file and returns what it found there, in order."
    (package / "b.py").write_text(
        f'"""Module b. {sentence}"""\nraise SystemExit("never run")\n'
        f'class C:\n    """Class c of the module. {sentence}\n\n    x : int\n        A number.\n\n'
        f'    >>> C()\n    """\n'
        f'    async def m(self):\n        """Method m of the class. {sentence}"""\n'
    )
    (package / "a.py").write_text(f'"""Module a. {sentence}"""\nif True:\n    def f(): "short"\n')
    (package / "bad.py").write_text("def broken(:\n")
    assert [t.split(".")[0] for t in docstrings.docstrings(package / "b.py")] == [
        "Module b",
        "Class c of the module",
        "Method m of the class",
    ]
    found = list(docstrings.texts({"pkg": package}, 20, seed=0))
    assert found == list(docstrings.texts({"pkg": package}, 20, seed=0))
    assert sorted(text.split(".")[0] for text in found) == [
        "Class c of the module",
        "Method m of the class",
        "Module a",
        "Module b",
    ]
    assert not any(">>>" in text or "int" in text for text in found)


def test_a_copied_paragraph_is_read_once(tmp_path):
    text = "The same long sentence about nothing in particular, word for word, is here again."
    for name in ("a.py", "b.py"):
        (tmp_path / name).write_text(f'"""{text}"""\n')
    assert len(list(docstrings.texts({"p": tmp_path}, 20, 0))) == 1


def test_templates_are_well_formed():
    for slot in templates.slots():
        assert len(slot.sentences) >= 20 and len(set(slot.sentences)) == len(slot.sentences)
        assert len(set(slot.values)) == len(slot.values)
        assert all(sentence.count("{}") == 1 for sentence in slot.sentences)
        for number in {0, 1, slot.size // 3, slot.size - 1}:
            document = slot.document(number)
            span = document.spans[0]
            word = document.text[span.start : span.stop]
            assert word.lower() == slot.values[span.value].lower()


CONCEPTS = {
    "circle": ("compass", "direction", "hour", "month", "season", "weekday"),
    "line": ("decade", "letter", "number", "planet", "year"),
    "categories": (
        "animal",
        "capital",
        "colour",
        "country",
        "female",
        "fruit",
        "instrument",
        "male",
        "tool",
    ),
}


def test_the_lists_are_those_that_people_ask_about():
    found = {slot.name: slot for slot in templates.slots()}
    assert {
        shape: tuple(n for n, s in found.items() if s.shape == shape) for shape in CONCEPTS
    } == CONCEPTS
    assert {name: len(found[name].values) for name in ("hour", "letter", "direction", "year")} == {
        "hour": 12, "letter": 26, "direction": 4, "year": 25}  # fmt: skip
    for name, partner, example in (
        ("capital", "country", ("New Delhi", "India")),
        ("female", "male", ("aunt", "uncle")),
    ):
        pairs = list(zip(found[name].values, found[partner].values, strict=True))
        assert found[name].pair_of == partner and example in pairs
    assert [n for n, s in found.items() if s.pair_of] == ["capital", "female"]


def test_lists_without_an_order_are_in_one_that_was_drawn():
    """Neither alphabetical nor by length: no order that a model could know is tested as a control."""
    for slot in templates.slots(CONCEPTS["categories"]):
        places = np.arange(len(slot.values))
        for key in (str.lower, len):
            ranks = np.argsort(np.argsort([key(v) for v in slot.values], kind="stable"))
            assert abs(np.corrcoef(places, ranks)[0, 1]) < 0.7, slot.name


def test_a_pair_is_declared_if_both_its_lists_are_wanted():
    both, one = templates.concepts(("country", "capital")), templates.concepts(("capital",))
    assert both["capital"]["pair_of"] == "country"
    assert "pair_of" not in both["country"] and "pair_of" not in one["capital"]


def test_sentences_are_balanced():
    """After every round each value was in each sentence once; rounds differ in their frames."""
    (slot,) = templates.slots(("season",))
    cells = len(slot.values) * len(slot.sentences)
    numbers = list(templates.drawn(slot, np.random.default_rng(0)))
    assert sorted(numbers) == list(range(slot.size))
    rounds = np.reshape(numbers, (-1, cells))
    assert (np.sort(rounds % cells, axis=1) == np.arange(cells)).all()
    assert (rounds[0] % cells != rounds[1] % cells).any()
    assert len({tuple(row) for row in (rounds // cells).tolist()}) == len(rounds)
    texts = [
        document.text for document in islice(templates.documents(("season", "hour"), 0), 2 * cells)
    ]
    for value in slot.values:
        spoken = [
            text for text in texts if f" {value}" in text.lower() or text.lower().startswith(value)
        ]
        assert len(spoken) >= len(slot.sentences)


def test_a_list_that_is_not_used_changes_no_corpus():
    def content(*slots):
        return identity.content(TemplateCorpus(slots=slots, n_tokens=1000), {})

    files = {path.name for path in identity._lists(("year",))}
    assert files == {
        "frame.yaml",
        "year.yaml",
        "decade.yaml",
    }  # it borrows the last one's sentences
    assert content("year") != content("decade") != content()


def test_template_sentences_never_repeat():
    slot = templates.slots(("season",))[0]
    texts = [slot.document(i).text for i in range(slot.size)]
    assert len(set(texts)) == slot.size


def test_rows_of_jsonl_and_parquet(tmp_path):
    import pandas as pd

    rows = [{"body": f"line {i} of the text " * 8} for i in range(30)]
    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    pd.DataFrame(rows).to_parquet(tmp_path / "b.parquet")
    corpus = make(
        TextCorpus(files=[str(tmp_path / "*.*")], field="body", n_tokens=1500), tmp_path / "out"
    )
    assert 1500 - 3 * 3 <= corpus.n_tokens <= 1500


def test_a_data_set_is_streamed_in_its_own_order(tmp_path):
    rows = [{"text": f"row {i}"} for i in range(5)] + [{"text": " "}]
    (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found = list(hub.texts(str(tmp_path), None, None, "train", "text"))
    assert found == [*(f"row {i}" for i in range(5)), " "]
    with pytest.raises(UserError, match=r"row 1: no field 'body'.*text"):
        list(hub.texts(str(tmp_path), None, None, "train", "body"))
    with pytest.raises(UserError, match="split test"):
        list(hub.texts(str(tmp_path), None, None, "test", "text"))


# ---------------------------------------------------------------- identity


def test_identity_follows_content_not_place(tmp_path):
    for name in ("x", "y"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "t.txt").write_text("some text")
    contents = []
    for name in ("x", "y"):
        corpus = TextCorpus(files=[str(tmp_path / name / "*.txt")])
        digests = locked(corpus)
        contents.append(identity.content(corpus, digests))
    assert contents[0] == contents[1]
    (tmp_path / "y" / "t.txt").write_text("some other text")
    assert (
        identity.resolve(f"text:{tmp_path / 'y' / 't.txt'}")
        != digests[f"text:{tmp_path / 'y' / 't.txt'}"]
    )


def test_every_installed_package_can_be_referenced():
    names = identity.installed_packages()
    assert names == sorted(names) and "numpy" in names
    assert json.loads(identity.listed("packages:")) == [f"package:{name}" for name in names]
    assert identity.listings(DocstringCorpus()) == ["packages:"]


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize(
    "text, message",
    [
        ('{"txet": "a"}', r"t\.jsonl, row 1: no field 'text'.*txet.*did you mean 'txet'"),
        ('{"text": "a b c"}\n{"text": 3}', r"t\.jsonl, row 2: field 'text' holds int"),
        ('{"text": "a"}\nnot json', r"t\.jsonl, row 2: not JSON"),
        ('{"text": "  "}', "holds no text"),
        (
            '{"text": "just five words are here"}',
            r"100 tokens were asked .* holds 5 in 1 documents",
        ),
    ],
)
def test_mistakes_in_files_are_named(tmp_path, text, message):
    (tmp_path / "t.jsonl").write_text(text)
    with pytest.raises(UserError, match=message):
        make(TextCorpus(files=[str(tmp_path / "t.jsonl")], n_tokens=100), tmp_path / "out")


def test_one_document_cannot_be_split(tmp_path):
    (tmp_path / "t.txt").write_text("word " * 400)
    corpus = TextCorpus(files=[str(tmp_path / "t.txt")], n_tokens=100)
    with pytest.raises(
        UserError, match=r"holds 400 in 1 documents, .* of 75, .* is in one split only"
    ):
        make(corpus, tmp_path / "out")


def test_missing_things_are_named(tmp_path):
    with pytest.raises(UserError, match="no file matches"):
        identity.listed(f"files:{tmp_path / 'nothing*.txt'}")
    (tmp_path / "a.docx").write_text("x")
    with pytest.raises(UserError, match="not one of"):
        identity.listed(f"files:{tmp_path / 'a.docx'}")
    with pytest.raises(UserError, match=r"no package 'nunpy'.*did you mean 'numpy'"):
        identity.resolve("package:nunpy")
    with pytest.raises(UserError, match="no slot 'weekdays'; did you mean 'weekday'"):
        templates.slots(("weekdays",))
    with pytest.raises(UserError, match=r"10,000,000 tokens were asked of the source `templates`"):
        make(TemplateCorpus(slots=["season"], n_tokens=10_000_000), tmp_path / "out")

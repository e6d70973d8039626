"""Special tokens: written out in texts, at the edges of contexts, and where settings disagree."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tokenizers import AddedToken, models, pre_tokenizers, processors
from tokenizers import Tokenizer as Fast
from tokenizers.decoders import ByteLevel

from corpora_place import made, make
from interpsweep.config.corpora import TextCorpus
from interpsweep.corpora.tokenizer import Tokenizer
from interpsweep.errors import UserError

END, CHAT = "<|end|>", "<|user|>"


def checkpoint(folder: Path, *, bos: object = END, adds: bool = False, **config: object) -> Path:
    """A byte-level tokenizer; `adds`: its own template puts the BOS before every text."""
    folder.mkdir()
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    fast = Fast(models.BPE(vocab={c: i for i, c in enumerate(letters)}, merges=[]))
    fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    fast.decoder = ByteLevel()
    fast.add_special_tokens([END, AddedToken(CHAT, special=True)])
    if adds:
        end = [(END, fast.token_to_id(END))]
        fast.post_processor = processors.TemplateProcessing(single=f"{END} $A", special_tokens=end)
    fast.save(str(folder / "tokenizer.json"))
    if bos is not ...:
        (folder / "tokenizer_config.json").write_text(json.dumps({"bos_token": bos}))
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def texts_of(folder: Path, n: int = 200) -> Path:
    rows = [f"{END}The dog{END} runs {CHAT}past {i}." for i in range(n)]
    path = folder / "texts.jsonl"
    path.write_text("\n".join(json.dumps({"text": row}) for row in rows))
    return path


@pytest.mark.parametrize("adds", [False, True])
@pytest.mark.parametrize("how", ["text", "tokens"])
def test_special_tokens_in_texts(tmp_path, how: str, adds: bool) -> None:
    model = checkpoint(tmp_path / "m", adds=adds)
    tokenizer = Tokenizer(model)
    end, chat = (tokenizer.vocabulary.index(token) for token in (END, CHAT))
    settings = TextCorpus(
        files=[str(texts_of(tmp_path))], n_tokens=3000, context_length=24, special_tokens=how
    )
    corpus = make(settings, tmp_path / "out", model)
    flat = corpus.flat(0, corpus.n_tokens)
    special = corpus.special == 1
    np.testing.assert_array_equal(special, np.isin(flat, [end, chat]))
    starts = np.zeros(len(flat), bool)
    starts[corpus.offsets[:-1]] = True
    assert special[starts].all() and (flat[starts] == end).all()
    if how == "text":  # they are letters: nothing is special but the mark before each context
        assert not special[~starts].any()
        first = corpus.text(corpus.tokens(0)[1:])
        assert first.startswith(END) or END in corpus.text(flat)
    else:
        assert (flat[~starts] == chat).any() and (flat[~starts] == end).any()
        opening = np.flatnonzero(np.diff(corpus.document, prepend=-1))  # of every document
        second = flat[corpus.offsets[opening] + 1]
        assert (second != end).all(), "a text that opens with BOS gets no second one"


@pytest.mark.parametrize("how", ["text", "tokens"])
def test_the_manifest_says_what_was_done(tmp_path, how: str) -> None:
    model = checkpoint(tmp_path / "m", bos=..., bos_token_id=256)
    corpus = TextCorpus(files=[str(texts_of(tmp_path))], n_tokens=500, special_tokens=how)
    said = made(corpus, tmp_path / "o", model)
    assert said["marks"] == f"{END} (by config.json)"
    assert said["special_tokens_in_texts"] == how and said["notes"] == []


def test_bos_is_none_where_the_tokenizer_says_null(tmp_path) -> None:
    tokenizer = Tokenizer(checkpoint(tmp_path / "m", bos=None, bos_token_id=256))
    assert tokenizer.prefix == [] and tokenizer.marks == "no marks"
    (note,) = tokenizer.notes
    assert END in note and "corpus.prepend_bos" in note
    named = Tokenizer(tmp_path / "m", END)
    assert named.prefix == [256] and named.marks == f"{END} (by corpus.prepend_bos)"
    assert named.notes == [] and Tokenizer(tmp_path / "m", False).notes == []


def test_bos_of_the_model_where_the_tokenizer_says_nothing(tmp_path) -> None:
    tokenizer = Tokenizer(checkpoint(tmp_path / "m", bos=..., bos_token_id=256))
    assert tokenizer.prefix == [256] and tokenizer.marks == f"{END} (by config.json)"
    assert Tokenizer(tmp_path / "m", False).prefix == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"bos": ..., "bos_token_id": 5000}, r"config\.json: bos_token_id 5000 is not in the voc"),
        ({"bos": ..., "bos_token_id": -1}, "bos_token_id -1 is not in the vocabulary"),
        ({"bos": ..., "bos_token_id": [1]}, r"bos_token_id \[1\] is not in the vocabulary"),
        ({"bos": "<s>"}, r"tokenizer_config\.json: the BOS token '<s>' is not in the vocabulary"),
        ({"bos": 7}, "the BOS token 7 is not in the vocabulary"),
    ],
)
def test_a_bos_that_no_vocabulary_has(tmp_path, settings: dict, message: str) -> None:
    folder = checkpoint(tmp_path / "m", **settings)
    with pytest.raises(UserError, match=message):
        Tokenizer(folder)
    assert Tokenizer(folder, False).prefix == []
    assert Tokenizer(folder, CHAT).prefix == [257]
    with pytest.raises(UserError, match=r"corpus\.prepend_bos: the BOS token '<x>'"):
        Tokenizer(folder, "<x>")
    with pytest.raises(UserError, match=r"corpus\.prepend_bos: 'e' is a token of texts"):
        Tokenizer(folder, "e")  # else every e of the texts were a mark


def test_an_encoder_needs_no_bos(tmp_path) -> None:
    folder = checkpoint(tmp_path / "m", bos=..., bos_token_id=5000)
    fast = Fast.from_file(str(folder / "tokenizer.json"))
    pair = [(token, fast.token_to_id(token)) for token in (END, CHAT)]
    fast.post_processor = processors.TemplateProcessing(
        single=f"{CHAT} $A {END}", special_tokens=pair
    )
    fast.save(str(folder / "tokenizer.json"))
    tokenizer = Tokenizer(folder)
    assert (tokenizer.prefix, tokenizer.suffix) == ([257], [256])
    assert tokenizer.marks == f"{CHAT} ... {END}"
    with pytest.raises(UserError, match="has marks of its own"):
        Tokenizer(folder, END)


def test_where_bytes_spell_everything_no_special_token_is_text(tmp_path) -> None:
    folder = checkpoint(tmp_path / "m")
    described = json.loads((folder / "tokenizer.json").read_text())
    described["model"]["unk_token"] = END  # as some say that have no need of one
    (folder / "tokenizer.json").write_text(json.dumps(described))
    assert Tokenizer(folder, False).is_special[[256, 257]].all()


def test_broken_tokenizer_files_are_named(tmp_path) -> None:
    folder = checkpoint(tmp_path / "m")
    (folder / "tokenizer_config.json").write_text("{")
    with pytest.raises(UserError, match=r"tokenizer_config\.json: not JSON"):
        Tokenizer(folder)
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(UserError, match=r"tokenizer\.json: not a tokenizer"):
        Tokenizer(folder)


def test_unknown_words_are_text_and_captured(tmp_path) -> None:
    fast = Fast(models.WordLevel({"[UNK]": 0, "dog": 1, "[CLS]": 2}, unk_token="[UNK]"))
    fast.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast.add_special_tokens(["[UNK]", "[CLS]"])
    (tmp_path / "m").mkdir()
    fast.save(str(tmp_path / "m" / "tokenizer.json"))
    tokenizer = Tokenizer(tmp_path / "m")
    assert tokenizer.is_special.tolist() == [False, False, True]
    # this vocabulary has no other spelling of it: marked all the same
    assert tokenizer.encode(["dog [CLS] cat"])[0].ids.tolist() == [1, 2, 0]

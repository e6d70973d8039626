"""The glossary: in order, short, and its references lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

from interpsweep.columns import PLACE
from interpsweep.stages import STAGES

PAGE = (Path(__file__).parents[2] / "docs/glossary.md").read_text(encoding="utf-8")
ENTRIES = dict(re.findall(r"^\*\*(.+?)\*\*: (.+)$", PAGE, re.M))
SIDES = {"a", "b"}  # of a match


def test_words_are_in_order_and_said_in_a_few_sentences() -> None:
    words = list(ENTRIES)
    assert words == sorted(words, key=str.lower)
    assert len(words) == len(re.findall(r"^\*\*", PAGE, re.M)) > 50
    for word, text in ENTRIES.items():
        assert len(re.findall(r"[.:;] |\.$", text)) <= 4 and len(text) < 330, word


def test_words_in_italics_have_an_entry() -> None:
    for word, text in ENTRIES.items():
        for named in re.findall(r"(?<!\*)\*([^*]+)\*(?!\*)", text):
            singular = named.removesuffix("s") if named not in ENTRIES else named
            assert singular in ENTRIES or named in SIDES, f"{word}: {named}"


def test_settings_stages_and_coordinates_that_it_names_exist() -> None:
    assert "`claims.q`" in ENTRIES["claim"] and "q" in ENTRIES
    for stage in ("report", "geometry", "encode"):
        assert stage in STAGES and any(f"`{stage}`" in text for text in ENTRIES.values())
    told = ENTRIES["place"].replace("width", "d_sae")
    assert [name for name in PLACE if name in told] == list(PLACE)

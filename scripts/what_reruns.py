"""Write docs/what-reruns-when.md from the table of edits that the tests check.

python scripts/what_reruns.py            write the page
python scripts/what_reruns.py --check    say whether it is up to date (status 1 if not)
"""

from __future__ import annotations

import sys
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "dag"))

from edits import Redone  # noqa: E402
from table import EDITS  # noqa: E402

from interpsweep.stages import STAGES  # noqa: E402

PAGE = ROOT / "docs" / "what-reruns-when.md"

TEXT = """\
# What reruns when

Edit the config and run the same command: what the edit demands is made, and nothing else. The
tables below are written from the table of edits in `tests/dag/table.py`, and each line is a test:
the set of items to be made after the edit is exactly this one. `interpsweep run --dry-run` says
the same of your own edit before anything runs, and `interpsweep explain ITEM` says which setting
makes an item differ from the nearest one that exists.

Two rules give all the lines. An item is made again when a setting that its stage reads changes,
or an item that it reads. Items of other settings stay in the store until `interpsweep gc`, so an
edit that is taken back costs nothing.

The first column is the edit, the second what is made: "SAEs with width `128`" are those alone,
"all SAEs" every one of the sweep. The atlas and the bundle are cheap, the claims and figures
nearly so.

"""

WIDENING = """\
## What is reused when a sweep grows

**Another width, seed, sparsity or architecture.** The model, the corpus, the activations and all
SAEs that exist are reused. Only the new SAEs are trained, on the stream of batches that the
others saw: the order of the data depends on `train.stream_seed` and on the step, never on which
SAEs listen. Only pairs with a new SAE are matched. A family that got longer gets its tree anew
from the matches that exist. With `keep.activations: until_trained` the activations are gone by
then and are captured once more, byte for byte on the same kind of machine.

**A longer training** (`train.tokens`) starts from the beginning, and the shorter SAE stays beside
it. Its last state is of no use: the learning rate had fallen to zero over the last share of the
steps (`train.decay`), and `warm_up`, `decay` and the warm-up of sparsity penalties are shares of
all steps. So the two differ from the first step on, and one continued from the other would be
neither. To compare lengths, make them two models with `overrides` on the same corpus: the
activations are shared.

**More tokens** (`corpus.n_tokens`) make another corpus, and everything below it is made again.
Texts are read until there are enough tokens and then permuted as a whole, so that train, analysis
and eval splits are alike; a longer corpus is another permutation, and does not begin with the
shorter one. A generated corpus does draw the same first contexts, but the splits that follow them
move, and with them the rows that the statistics come from. Resuming at the chunk, which a killed
capture does, is for one and the same corpus. What is kept: the model, and the corpus of every
model that overrides its own.

**More held-out data** (`evaluate.rows`, `evaluate.contexts`, `encode.contexts`) is read from the
start; SAEs and activations stay.
"""

ONCE = ("claims", "atlas", "bundle")  # one of each in a sweep


def page() -> str:
    """The whole page."""
    parts = [TEXT]
    for part, rows in groupby(EDITS, key=lambda row: row.part):
        lines = [f"| {row.words} | {made(row.redone)} |" for row in rows]
        parts.append("\n".join([f"## {part}", "", "| edit | made |", "|---|---|", *lines, "", ""]))
    return "".join([*parts, WIDENING])


def made(redone: Redone) -> str:
    """What an edit demands, in words."""
    by_words: dict[str, list[str]] = {}
    for stage in (stage for stage in STAGES if stage in redone):
        by_words.setdefault(redone[stage].words, []).append(STAGES[stage].noun)
    whole = by_words.pop("", [])
    once = [noun for noun in whole if noun in ONCE]
    many = [noun for noun in whole if noun not in ONCE]
    some = [f"{_listed(nouns)} {words}" for words, nouns in by_words.items()]
    every = [f"all {_listed(many)}"] if many else []
    return "; ".join([*every, *some, *([_listed(once)] if once else [])]) or "nothing"


def _listed(nouns: list[str]) -> str:
    return " and ".join([", ".join(nouns[:-1]), nouns[-1]]) if len(nouns) > 1 else "".join(nouns)


def main() -> int:
    """Write or check the page."""
    if "--check" in sys.argv[1:]:
        current = PAGE.exists() and PAGE.read_text(encoding="utf-8") == page()
        print(f"{PAGE.name}: {'up to date' if current else 'run scripts/what_reruns.py'}")
        return int(not current)
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Write what each stage reads and makes, from the records in `stages/`: the page beside the rules
and the table in docs/architecture.md.

python scripts/stage_pages.py            write both
python scripts/stage_pages.py --check    say whether they are up to date (status 1 if not)
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path

from interpsweep.stages import STAGES, Stage

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "workflow" / "rules" / "README.md"
ARCHITECTURE = ROOT / "docs" / "architecture.md"
MARKED = re.compile(r"(?<=<!-- stages -->\n).*?(?=<!-- end -->)", re.DOTALL)

TEXT = """\
# What each stage reads and makes

`stages.smk` has one rule for each stage, all of one text; the rule is named as the stage, and a
profile's `set-resources` names it so. A **job** is what one rule run makes: all items of a stage
that share a model or a site. Its output is an index file,
`store/.jobs/<stage>/<name>-<digest>.json`, which exists if and only if every item of the job does.
The items themselves are folders `store/<folder>/<name>-<digest>/`.

`results.smk` shows them under plain names: `results/<sweep>/<model>/<site>/<name>.json` lists the
items, and the folder of that name beside it holds their files. `all_<name>` is the target of a
whole sweep: `snakemake all_trees`, or `interpsweep run --target trees`.

This page is written from the records in `src/interpsweep/stages/` by `scripts/stage_pages.py`.

"""


def page() -> str:
    """The page beside the rules."""
    parts = [TEXT, table(), "\n"]
    for stage in STAGES.values():
        alike = ", ".join(stage.together) or "the whole sweep"
        lines = [
            f"## `{stage.name}`",
            "",
            f"- reads: {listed(stage.reads) or 'nothing but its settings'}",
            f"- makes: {stage.makes}; in `store/{stage.kind}/`, with {listed(stage.files)}",
            f"- shown as: `{shown(stage)}`, target `all_{stage.target}`",
            f"- one job makes those of one: {alike}",
            f"- code: `{stage.module}`",
            "",
            "",
        ]
        parts.append("\n".join(lines))
    return "".join(parts).rstrip("\n") + "\n"


def table() -> str:
    """All stages in a table."""
    rows = [
        f"| `{s.name}` | {s.makes} | {listed(s.reads)} | `{s.kind}` |\n" for s in STAGES.values()
    ]
    return "| stage | makes | reads | folder in the store |\n|---|---|---|---|\n" + "".join(rows)


def shown(stage: Stage) -> str:
    """Where results/ shows its items."""
    places = stage.together if stage.shown_by is None else stage.shown_by
    return "/".join(["results/<sweep>", *(f"<{key}>" for key in places), f"{stage.target}.json"])


def listed(names: Iterable[str]) -> str:
    """Names as code, one after the other."""
    return ", ".join(f"`{name}`" for name in names)


def pages() -> dict[Path, str]:
    """Every page that says something about all stages -> what it should hold."""
    architecture = ARCHITECTURE.read_text(encoding="utf-8")
    return {PAGE: page(), ARCHITECTURE: MARKED.sub(lambda _: table(), architecture)}


def main() -> int:
    """Write or check the pages."""
    stale = [path for path, text in pages().items() if not same(path, text)]
    if "--check" in sys.argv[1:]:
        for path in stale:
            print(f"{path.relative_to(ROOT)}: run scripts/stage_pages.py")
        return int(bool(stale))
    for path in stale:
        path.write_text(pages()[path], encoding="utf-8")
    return 0


def same(path: Path, text: str) -> bool:
    """Whether a file holds a text."""
    return path.exists() and path.read_text(encoding="utf-8") == text


if __name__ == "__main__":
    sys.exit(main())

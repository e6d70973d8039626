"""A latent's lineage in the terminal: what it comes from, what becomes of it, where it fires."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from interpsweep import driver
from interpsweep.errors import UserError, nearest
from interpsweep.plan import Plan
from interpsweep.plan.build import there
from interpsweep.plan.families import is_family
from interpsweep.plan.items import PlannedItem
from interpsweep.saes.codes import CONTEXTS
from interpsweep.store import Store
from interpsweep.tables import read_parquet

MARGIN = 40  # characters of a context shown before and after the token
OTHERS = 12  # children of one latent that are shown
EVIDENCE = (
    ("cosine", "cosine"),
    ("p_n_given_w", "P(parent|this)"),
    ("p_w_given_n", "P(this|parent)"),
    ("p", "p"),
)


class Lineage:
    """The finished tree of one family with the contexts of its dictionaries."""

    def __init__(self, folder: Path, codes: list[Path]) -> None:
        """`folder` of the tree, those of the `codes` of its dictionaries."""
        self.nodes = read_parquet(folder / "nodes.parquet").set_index("node")
        edges = read_parquet(folder / "edges.parquet")
        self.edges = edges[edges["related"]]
        self._codes = codes
        self._contexts: dict[int, pd.DataFrame] = {}

    @property
    def widths(self) -> list[int]:
        """Of the dictionaries, narrow to wide."""
        return [int(width) for width in self.nodes.groupby("level")["d_sae"].first()]

    def find(self, feature: str) -> str:
        """The node that a user means by ``latent`` (of the widest SAE) or ``width:latent``."""
        width, _, latent = feature.rpartition(":")
        widths = self.widths
        if not latent.isdecimal() or not (width.isdecimal() or width == ""):
            raise UserError(
                f"{feature!r} is no feature: write `width:latent`, such as {widths[0]}:7, or a "
                "latent of the widest SAE alone"
            )
        if width and int(width) not in widths:
            raise UserError(f"{feature}: no SAE of width {width}; widths are {_listed(widths)}")
        level = widths.index(int(width)) if width else len(widths) - 1
        if int(latent) >= widths[level]:
            raise UserError(
                f"{feature}: the SAE of width {widths[level]} has latents 0 to {widths[level] - 1}"
            )
        return f"{level}:{int(latent)}"

    def parents(self, node: str) -> pd.DataFrame:
        """Typed edges to its parents, the forest's first."""
        mine = self.edges[self.edges["target"] == node]
        return mine.sort_values("primary", ascending=False, kind="stable")

    def children(self, node: str) -> pd.DataFrame:
        """Typed edges to its children, those that fire most first."""
        mine = self.edges[self.edges["source"] == node]
        count = self.nodes["count"].reindex(mine["target"]).to_numpy()
        return mine.assign(count=count).sort_values(["count", "w"], ascending=[False, True])

    def contexts(self, node: str, most: int) -> list[Text]:
        """The strongest contexts of a node, its token marked."""
        level, latent = (int(part) for part in node.split(":"))
        if level not in self._contexts:
            self._contexts[level] = read_parquet(self._codes[level] / CONTEXTS)
        table = self._contexts[level]
        rows = table[table["feature"] == latent].sort_values("rank").head(most)
        return [_context(row) for row in rows.itertuples()]


def _context(row: Any) -> Text:
    text, start = row.text.replace("\n", " "), int(row.token_start)
    stop = start + len(str(row.token).strip())
    before, after = text[:start], text[stop:]
    shown = Text(f"{row.activation:7.2f}  ", style="dim")
    shown.append(f"…{before[-MARGIN:]}" if len(before) > MARGIN else before, style="default")
    shown.append(text[start:stop], style="bold underline")
    shown.append(f"{after[:MARGIN]}…" if len(after) > MARGIN else after, style="default")
    return shown


def show_lineage(
    configs: list[Path], site: str, feature: str, wanted: dict[str, Any], contexts: int, depth: int
) -> None:
    """Print the ancestors and descendants of a feature with types, evidence and contexts."""
    plan, store = driver.plan_sweep(configs), Store()
    item = choose_tree(plan, site, {key: v for key, v in wanted.items() if v is not None})
    codes = [plan.items.by_digest[digest] for digest in item.spec["inputs"]["codes"]]
    if not all(there(store, one) for one in (item, *codes)):
        raise UserError(f"{site}: the tree is not made yet; `interpsweep run` makes it")
    lineage = Lineage(store.root / item.place, [store.root / one.place for one in codes])
    node = lineage.find(feature)
    console = Console(highlight=False)
    console.print(Text(", ".join(f"{name} {value}" for name, value in _place(item)), style="bold"))
    console.print(drawn(lineage, node, contexts, depth))


def choose_tree(plan: Plan, site: str, wanted: dict[str, Any]) -> PlannedItem:
    """The tree of the only family at `site` with the wanted coordinates. Raises UserError."""
    trees = [tree for tree in plan.items.of("tree") if is_family(tree)]
    sites = list(dict.fromkeys(tree.at["site"] for tree in trees))
    if not sites:
        raise UserError(
            "the sweep has no trees: they need two widths and `width` among match.directions"
        )
    if site not in sites:
        raise UserError(
            f"{site}: no tree at this site{nearest(site, sites)}; trees are at {_listed(sites)}"
        )
    fitting = [
        tree
        for tree in trees
        if tree.at["site"] == site and all(tree.at[key] == v for key, v in wanted.items())
    ]
    if len(fitting) == 1:
        return fitting[0]
    here = fitting or [tree for tree in trees if tree.at["site"] == site]
    differing = {
        key: sorted({tree.at[key] for tree in here})
        for key in ("model", "architecture", "sparsity", "seed")
    }
    options = "; ".join(
        f"--{key} {_listed(values)}"
        for key, values in differing.items()
        if len(values) > 1 or not fitting
    )
    what = "several trees fit" if fitting else "no tree fits"
    raise UserError(f"{site}: {what}; choose with {options}")


def _place(item: PlannedItem) -> list[tuple[str, Any]]:
    keys = ("model", "site", "architecture", "sparsity", "seed")
    return [(key, item.at[key]) for key in keys]


def _listed(values: list[Any]) -> str:
    return ", ".join(f"{v:g}" if isinstance(v, float) else str(v) for v in values)


def drawn(lineage: Lineage, node: str, contexts: int, depth: int) -> Tree:
    """The chain of forest parents down to `node`, then its children to `depth` further levels."""
    chain = [node]
    while above := str(lineage.nodes.at[chain[-1], "parent"]):
        chain.append(above)
    top = here = Tree(Text("from the narrowest SAE that has it", style="dim"))
    for name in reversed(chain):
        edges = lineage.parents(name)
        edge = edges.iloc[0] if len(edges) else None
        here = here.add(_line(lineage, name, edge, name == node))
        _fill(here, lineage, name, contexts if name == node else min(contexts, 1))
    for edge in lineage.parents(node).iloc[1:].itertuples():
        here.add(Text(f"also a part of {_named(lineage, edge.source)}", style="dim"))
    _descend(here, lineage, node, contexts, depth)
    return top


def _descend(here: Tree, lineage: Lineage, node: str, contexts: int, depth: int) -> None:
    children = lineage.children(node)
    if depth == 0 or not len(children):
        return
    for _, edge in children.head(OTHERS).iterrows():
        below = here.add(_line(lineage, edge["target"], edge, False))
        _fill(below, lineage, edge["target"], min(contexts, 1))
        if edge["primary"]:
            _descend(below, lineage, edge["target"], contexts, depth - 1)
    if len(children) > OTHERS:
        here.add(Text(f"and {len(children) - OTHERS} more children", style="dim"))


def _fill(here: Tree, lineage: Lineage, node: str, contexts: int) -> None:
    for text in lineage.contexts(node, contexts):
        here.add(text, guide_style="dim")


def _named(lineage: Lineage, node: str) -> str:
    row = lineage.nodes.loc[node]
    return f"{row['d_sae']}:{row['latent']}"


def _line(lineage: Lineage, node: str, edge: Any, chosen: bool) -> Text:
    """What a node is, how often it fires, and the evidence of its edge."""
    row = lineage.nodes.loc[node]
    line = Text(_named(lineage, node), style="bold reverse" if chosen else "bold")
    kind = str(row["type"]) if edge is None else str(edge["type"])
    kind += f" ({edge['subtype']})" if edge is not None and edge["subtype"] else ""
    line.append(f"  {kind.replace('_', ' ')}", style="not reverse not bold cyan")
    facts = [f"fires on {100 * row['density']:.2g} %"]
    if edge is not None:
        facts += [f"{name} {edge[column]:.2g}" for column, name in EVIDENCE]
    for column, name in (("absorption_rate", "absorbed"), ("hole_rate", "holes")):
        if row[column] > 0:
            facts.append(f"{name} {row[column]:.2g}")
    line.append("  " + ", ".join(facts), style="not reverse not bold")
    return line

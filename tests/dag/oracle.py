"""What a sweep's items depend on, written down a second time from the documentation.

Nothing of the planner is used here. `meanings` gives every item of a small sweep as a number that
stands for all that determines it: two items have one number if and only if they are the same. The
rules are those of docs/architecture.md and of the settings' reference.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from edits import READS

SITES = ("hook_embed", "blocks.0.hook_resid_post", "blocks.1.hook_resid_post")
_PER_SITE = (
    "latents",
    "breakdown",
    "training",
    "matching",
    "stitching",
    "edges",
    "absorption",
    "probes",
    "panels",
    "loops",
    "embedding",
    "spectrum",
)
_SAE = ("model", "site", "architecture", "sparsity", "d_sae", "seed")
_FAMILY = ("model", "site", "architecture", "sparsity", "seed")

At = dict[str, Any]
Named = tuple[str, tuple[tuple[str, Any], ...]]  # stage and coordinates


@dataclass
class State:
    """A sweep as a researcher thinks of it."""

    models: dict[str, int] = field(default_factory=lambda: {"a": 0})  # name -> seed
    sites: tuple[str, ...] = SITES[1:]
    longer: tuple[str, ...] = ()  # sites that train on more tokens
    corpus_seed: int = 0
    dtype: str = "float16"
    architectures: tuple[str, ...] = ("topk",)
    widths: tuple[int, ...] = (32, 64)
    sparsities: tuple[int, ...] = (4,)
    seeds: tuple[int, ...] = (0, 1)
    learning_rate: float = 1e-3
    directions: tuple[str, ...] = ("width", "seed")
    skip_levels: int = 1
    landscapes: bool = True
    metas: bool = True
    acts: bool = False  # on concepts
    # numbers of stages
    numbers: dict[str, int] = field(default_factory=lambda: dict.fromkeys(NUMBERS, 0))
    title: str = ""
    # what changes no result
    label: str = ""
    pack: int = 0


# stage -> (section, key, values to choose from)
NUMBERS: dict[str, tuple[str, str, tuple[Any, ...]]] = {
    "mask": ("mask", "norm", (10, None)),
    "evaluate": ("evaluate", "contexts", (4, 8)),
    "encode": ("encode", "top_contexts", (3, 5)),
    "match": ("match", "top_k", (3, 5)),
    "tree": ("tree", "min_firings", (20, 40)),
    "geometry": ("geometry", "draws", (199, 299)),
    "landscape": ("landscape", "draws", (199, 299)),
    "meta": ("meta", "k", (4, 3)),
    "concepts": ("concepts", "draws", (999, 1999)),
    "recovery": ("recovery", "levels", ((0.0, 0.2), (0.0, 0.3))),
    "children": ("children", "draws", (199, 299)),
    "complex": ("complexes", "draws", (199, 299)),
    "claims": ("claims", "q", (0.05, 0.01)),
    "figures": ("figures", "style", ({"dpi": 90}, {"dpi": 120})),
}


def config(state: State, reverse: bool, decimal: bool) -> dict[str, Any]:
    """The configuration of a state, spelled in one of several ways that mean the same."""

    def axis(values: Iterable[Any]) -> list[Any]:
        found = list(values)[::-1] if reverse else list(values)
        return [float(v) if decimal and isinstance(v, int) else v for v in found]

    def site(name: str) -> Any:
        more = {"train": {"tokens": 20000}}
        return {"site": name, "overrides": more} if name in state.longer else name

    shape = {"n_layers": 2, "d_model": 16, "n_heads": 2, "d_mlp": 32}
    relu = {"architecture": "relu", "sparsities": [0.5]}
    data: dict[str, Any] = {
        "sweep": "tiny",
        "label": state.label,
        "models": axis(
            {"name": name, "source": "trained", "seed": seed, "architecture": shape,
             "sites": axis(map(site, state.sites))}
            for name, seed in state.models.items()
        ),
        "corpus": {"source": "generated", "n_tokens": 10000, "seed": state.corpus_seed},
        "capture": {"dtype": state.dtype},
        "train": {
            "architectures": axis(relu if name == "relu" else name for name in state.architectures),
            "widths": axis(state.widths), "sparsities": axis(state.sparsities),
            "seeds": axis(state.seeds), "tokens": 10000, "learning_rate": state.learning_rate,
        },
        "match": {"directions": list(state.directions), "skip_levels": state.skip_levels},
        "landscape": {"enabled": state.landscapes},
        "meta": {"enabled": state.metas},
        "intervene": {"actions": ["shift"] if state.acts else []},
        "report": {"title": state.title},
        "run": {"pack": state.pack},
    }  # fmt: skip
    for stage, (section, key, values) in NUMBERS.items():
        data.setdefault(section, {})[key] = values[state.numbers[stage]]
    return dict(reversed(data.items())) if reverse else data


class Oracle:
    """Gives every item that was ever asked for a number of its own."""

    def __init__(self) -> None:
        self._numbers: dict[tuple, int] = {}

    def meanings(self, state: State) -> dict[int, Named]:
        """The number of every item of a sweep -> its stage and coordinates."""
        return _Sweep(self._numbers, state).found


class _Sweep:
    def __init__(self, numbers: dict[tuple, int], state: State) -> None:
        self._numbers, self._state = numbers, state
        self.found: dict[int, Named] = {}
        self._all: list[tuple[str, At, int]] = []
        for name in sorted(state.models):
            self._model(name)
        self._whole()

    def _add(self, stage: str, at: At, *determined_by: Any) -> int:
        chosen = self._state.numbers.get(stage)
        number = self._numbers.setdefault((stage, chosen, determined_by), len(self._numbers))
        if number not in self.found:  # the corpus of two models is one
            self.found[number] = (stage, tuple(sorted((k, str(v)) for k, v in at.items())))
            self._all.append((stage, at, number))
        return number

    def _model(self, name: str) -> None:
        s = self._state
        model = self._add("model", {"model": name}, s.models[name])
        corpus = self._add("corpus", {"model": name}, s.corpus_seed)
        saes: list[tuple[At, int, int]] = []
        for site in s.sites:
            at = {"model": name, "site": site}
            acts = self._add("capture", at, s.dtype, site, model, corpus)
            used = self._add("mask", at, acts, corpus)
            concepts = self._add("concepts", at, used)
            if s.acts:
                self._add("intervene", at, concepts)
            saes += self._site(at, used, concepts)
        if "layer" in s.directions:
            keys = ("architecture", "sparsity", "d_sae", "seed")
            blocks = [sae for sae in saes if sae[0]["site"].startswith("blocks.")]
            matches = self._pairs("layer", blocks, keys, "site", {"model": name})
            for (below, _), match in matches.items():
                (here,) = (sae[0] for sae in blocks if sae[1] == below)
                self._add("complex", here, match)

    def _site(self, at: At, used: int, concepts: int) -> list[tuple[At, int, int]]:
        """(coordinates, SAE, codes) of every SAE of a site."""
        s, saes, read = self._state, [], {}
        tokens = 20000 if at["site"] in s.longer else 10000
        for kind in s.architectures:
            for sparsity in (0.5,) if kind == "relu" else s.sparsities:
                for width in s.widths:
                    for seed in s.seeds:
                        own = dict(zip(_SAE[2:], (kind, sparsity, width, seed), strict=True))
                        here = {**at, **own}
                        sae = self._add("train", here, *own.values(), tokens, s.learning_rate, used)
                        self._add("evaluate", here, sae)
                        codes = self._add("encode", here, sae)
                        self._add("geometry", here, sae, codes)
                        if s.landscapes:
                            self._add("landscape", here, sae, codes)
                        meta = self._add("meta", here, sae) if s.metas else None
                        recovery = self._add("recovery", here, sae, codes, concepts)
                        if s.acts:
                            self._add("intervene", here, sae, recovery, concepts)
                        read[sae] = meta, recovery
                        saes.append((here, sae, codes))
        steps, family = {}, ("architecture", "sparsity", "seed")
        if "width" in s.directions:
            steps = self._pairs("width", saes, family, "d_sae", at)
            if s.skip_levels:
                steps |= self._pairs("skip", saes, family, "d_sae", at, every=2)
        if "seed" in s.directions:
            twins = self._pairs("seed", saes, ("architecture", "sparsity", "d_sae"), "seed", at)
            by_digest = {sae[1]: sae for sae in saes}
            for ends, match in twins.items():
                a, b = (by_digest[end] for end in ends)
                here = {**{key: a[0][key] for key in _SAE}, "against": b[0]["seed"]}
                self._add("tree", {**here, "direction": "seed"}, (match,), (a[2], b[2]))
        for ladder in _grouped(saes, _FAMILY[2:]):
            ladder.sort(key=lambda sae: sae[0]["d_sae"])
            here = {key: ladder[0][0][key] for key in _FAMILY}
            tree = None
            if steps and len(ladder) > 1:
                matches = tuple(steps[a[1], b[1]] for a, b in pairwise(ladder))
                apart = tuple(
                    steps[a[1], b[1]]
                    for a, b in zip(ladder, ladder[2:], strict=False)
                    if s.skip_levels
                )
                codes = tuple(sae[2] for sae in ladder)
                tree = self._add("tree", here, matches, codes, *([apart] if apart else []))
                self._add("children", here, tree, s.numbers["geometry"])
            self._add("agreement", here, tree, *(read[sae[1]] for sae in ladder))
        return saes

    def _pairs(
        self,
        direction: str,
        saes: list,
        same: tuple[str, ...],
        along: str,
        at: At,
        every: int = 1,
    ) -> dict[tuple[int, int], int]:
        made = {}
        for group in _grouped(saes, same):
            group.sort(key=lambda sae: sae[0][along])
            for a, b in zip(group, group[every:], strict=False):
                ends = {
                    f"{end}.{key}": sae[0][key] for end, sae in (("a", a), ("b", b)) for key in _SAE
                }
                here = {**at, "direction": direction, **ends}
                kind = "width" if direction == "skip" else direction
                made[a[1], b[1]] = self._add("match", here, kind, a[1:], b[1:])
        return made

    def _whole(self) -> None:
        s = self._state
        others = ("model", "corpus", "capture", "train", "encode", "meta")
        read = [item for item in self._all if item[0] not in others]
        claims = self._add("claims", {}, _placed(read))
        # no SAE of these sweeps has nested levels
        drawn = [self._draw(name, claims) for name in sorted(READS.keys() - {"levels"})]
        figures = frozenset(number for numbers in drawn for number in numbers)
        report = self._add("report", {}, s.title, claims, figures)
        longer = tuple(site for site in s.longer if site in s.sites)
        told = (
            s.sites,
            longer,
            s.widths,
            s.sparsities,
            s.seeds,
            s.architectures,
            s.learning_rate,
        )
        others = (*sorted(s.models.items()), *s.numbers.items(), s.corpus_seed, s.dtype,
                  s.landscapes, s.metas, s.acts)  # fmt: skip
        self._add("bundle", {}, report, *map(_unordered, told), others)

    def _draw(self, name: str, claims: int) -> list[int]:
        items = [item for item in self._all if item[0] in READS[name] and not _of_seeds(item)]
        if name not in (*_PER_SITE, "forest"):  # one over the whole sweep
            return [self._figure(name, {}, items)] if items else []
        keys = _FAMILY if name == "forest" else ("model", "site")
        anchor = {"forest": "tree", "absorption": "match"}.get(name) or next(iter(READS[name]))
        here = [item for item in items if all(key in item[1] for key in keys)]
        places = {tuple(at[key] for key in keys) for stage, at, _ in here if stage == anchor}
        return [
            self._figure(
                name,
                dict(zip(keys, place, strict=True)),
                [item for item in here if tuple(item[1][key] for key in keys) == place],
            )
            for place in sorted(places, key=str)
        ]

    def _figure(self, name: str, at: At, items: list[tuple[str, At, int]]) -> int:
        early = READS[name] <= {"mask", "train", "evaluate"}  # else with the analysis
        at = {**at, "figure": name, "drawn": "early" if early else "late"}
        return self._add("figures", at, name, _placed(items))


def _placed(items: list[tuple[str, At, int]]) -> frozenset:
    """Items with the places in the sweep that tables and axes show."""
    return frozenset(
        (number, tuple(sorted((k, str(v)) for k, v in at.items()))) for _, at, number in items
    )


def _of_seeds(item: tuple[str, At, int]) -> bool:
    """Whether it is the tree between two seeds, which only the claims read."""
    return item[0] == "tree" and "direction" in item[1]


def _unordered(values: Any) -> Any:
    return frozenset(values) if isinstance(values, tuple) else values


def _grouped(saes: list, keys: tuple[str, ...]) -> list[list]:
    groups: dict[tuple, list] = {}
    for sae in saes:
        groups.setdefault(tuple(sae[0][key] for key in keys), []).append(sae)
    return list(groups.values())

"""Stage ``capture``: the activations of every missing site of a model, in one pass over a corpus.

A bank stage. The corpus is worked through in windows; inside a window contexts of equal length
share a forward pass, which stops after the last layer anybody needs. Rows are kept until their
chunk is whole. After a kill the chunks that are on disk stay, and windows that lie wholly in them
are not computed again; as what shares a batch never depends on that, neither do the bytes.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch

from interpsweep.activations.artifact import ROWS, SPLITS
from interpsweep.activations.outside import capture_stored
from interpsweep.activations.rows import RowPlan, Window, summary
from interpsweep.activations.world import capture_world
from interpsweep.activations.writer import Background, ChunkWriter
from interpsweep.config.activations import CaptureItem
from interpsweep.context import Context, Item, Stopped
from interpsweep.corpora.artifact import Corpus
from interpsweep.errors import UserError
from interpsweep.models.batches import length_batches
from interpsweep.models.forward import forward_sites
from interpsweep.models.halving import Halving
from interpsweep.models.load import DTYPES, load_model
from interpsweep.spec import canonical_json
from interpsweep.tables import write_json

WRITERS = {"world": capture_world, "activations": capture_stored}  # sources without a model


def run(items: list[Item], ctx: Context) -> None:
    """Capture the sites that `items` are, each published when the pass over the corpus is done."""
    for together in _passes(items):
        write = WRITERS.get(CaptureItem(**together[0].spec["settings"]).model["source"])
        if write is not None:
            for item in together:
                settings = CaptureItem(**item.spec["settings"])
                item.publish(write(settings, item.inputs["corpus"], item.out, ctx))
        else:
            Capture(together, ctx).run()


def _passes(items: Iterable[Item]) -> list[list[Item]]:
    """Items that can share forward passes: same model, corpus and batches."""
    groups: dict[str, list[Item]] = {}
    for item in items:
        settings = CaptureItem(**item.spec["settings"])
        same = [settings.model, settings.batch_tokens, settings.window_tokens, item.spec["inputs"]]
        groups.setdefault(canonical_json(same), []).append(item)
    return list(groups.values())


class Capture:
    """One pass over a corpus for some sites of a model."""

    def __init__(self, items: list[Item], ctx: Context) -> None:
        self.items, self.ctx = items, ctx
        self.settings = {item.digest: CaptureItem(**item.spec["settings"]) for item in items}
        common = self.settings[items[0].digest]
        self.batch_tokens = common.batch_tokens
        self.corpus = Corpus.open(items[0].inputs["corpus"])
        self.model = load_model(common.model, items[0].inputs.get("model"), ctx)
        self.plan = RowPlan(self.corpus, common.window_tokens)
        self.halving = Halving(self.model.device, ctx)
        self._check()
        self.background = Background()
        self.writers = {item.digest: self._writer(item) for item in items}

    def run(self) -> None:
        """Work through the corpus, then finish and publish every item."""
        todo = [window for window in self.plan.windows if self._needing(window)]
        began, tokens = time.monotonic(), 0
        total = sum(self._tokens(window) for window in todo)
        with self.background, self.ctx.bar(total, "capturing", unit="tok") as bar:
            for window in todo:
                for captured in self._window(window):
                    tokens += captured
                    bar.advance(captured)
                    if self.ctx.stopping:
                        raise Stopped("capture: whole chunks are kept, run the same command")
        if tokens:
            seconds = max(time.monotonic() - began, 1e-9)
            self.ctx.record(tokens_per_second=round(tokens / seconds))
        self._finish_arrays()
        for item in self.items:
            item.publish(self._finish(item))

    def _check(self) -> None:
        """Refuse what cannot work before anything is computed."""
        sites = [self.settings[item.digest].site for item in self.items]
        if problems := self.model.check_sites(sites):
            raise UserError("capture: " + "\n".join(problems))
        if self.plan.rows == 0:
            raise UserError(f"{self.corpus.path}: the corpus has no tokens to capture")
        longest = int(np.diff(self.plan.offsets).max())
        if longest > self.model.n_ctx:
            raise UserError(
                f"capture: the corpus has contexts of {longest} tokens, model {self.model.name} "
                f"takes {self.model.n_ctx}; lower corpus.context_length"
            )

    def _writer(self, item: Item) -> ChunkWriter:
        settings = self.settings[item.digest]
        width = self.model.site_widths([settings.site])[settings.site]
        return ChunkWriter(
            item.out,
            self.plan.rows,
            width,
            settings.chunk_rows,
            settings.dtype,
            self.background,
        )

    def _needing(self, window: Window) -> list[Item]:
        return [item for item in self.items if self.writers[item.digest].needs(*window.rows)]

    def _tokens(self, window: Window) -> int:
        c0, c1 = window.contexts
        return int(self.plan.offsets[c1] - self.plan.offsets[c0])

    def _window(self, window: Window) -> Iterator[int]:
        """Compute one window, giving its rows to the writers; yields the tokens of each batch."""
        (c0, c1), offsets = window.contexts, self.plan.offsets
        tokens = self._window_tokens(c0, c1)
        kept, row_of_token = ~self.plan.special(c0, c1), self.plan.row_of_token(c0, c1)
        starts, lengths = offsets[c0:c1] - offsets[c0], np.diff(offsets[c0 : c1 + 1])
        items = self._needing(window)
        for batch in length_batches(lengths, self.batch_tokens):
            places = starts[batch][:, None] + np.arange(lengths[batch[0]])
            self._batch(items, tokens[places], kept[places], row_of_token[places])
            yield places.size

    def _window_tokens(self, c0: int, c1: int) -> np.ndarray:
        begin, end = int(self.plan.offsets[c0]), int(self.plan.offsets[c1])
        tokens = self.corpus.flat(begin, end).astype(np.int64)
        if tokens.max(initial=0) >= self.model.n_vocabulary:
            raise UserError(
                f"capture: token {tokens.max()} in contexts {c0}..{c1} is not in the vocabulary of "
                f"{self.model.n_vocabulary} of model {self.model.name}: corpus and model do not "
                "belong together"
            )
        return tokens

    def _batch(
        self, items: list[Item], tokens: np.ndarray, keep: np.ndarray, row: np.ndarray
    ) -> None:
        """One batch: tokens, which of them are captured, and their rows, all (contexts, length)."""
        rows, chosen = row[keep], np.flatnonzero(keep)
        if not len(rows):
            return
        by_site: dict[str, set[str]] = {}
        for item in items:
            settings = self.settings[item.digest]
            by_site.setdefault(settings.site, set()).add(settings.dtype)
        found = self._forward(torch.from_numpy(tokens), by_site)
        index = None if keep.all() else torch.from_numpy(chosen).to(self.model.device)
        kept = {
            item.digest: stored if index is None else stored.index_select(0, index)
            for item in items
            for stored in [found[self.settings[item.digest].site][self.settings[item.digest].dtype]]
        }
        # a sum is finite only if all its terms are; the exact look is rarely needed
        sums = [stored.sum(dtype=torch.float32) for stored in kept.values()]
        if not all(map(math.isfinite, torch.stack(sums).tolist())):  # one wait for the device
            for digest, stored in kept.items():
                self._refuse_unless_finite(tokens, self.settings[digest], stored, chosen, rows)
        for digest, stored in kept.items():
            self.writers[digest].put(rows, _as_numpy(stored))

    def _forward(
        self, tokens: torch.Tensor, wanted: dict[str, set[str]]
    ) -> dict[str, dict[str, torch.Tensor]]:
        """Activations (tokens, width) of each wanted site in each wanted number format."""

        def keep(site: str, activations: torch.Tensor) -> dict[str, torch.Tensor]:
            flat = activations.flatten(0, 1)
            return {name: flat.to(DTYPES[name], copy=True) for name in sorted(wanted[site])}

        parts = self.halving.map(
            lambda part: forward_sites(self.model, tokens[part], list(wanted), keep),
            len(tokens),
            "lower corpus.context_length, or take a machine with more",
        )
        if len(parts) == 1:
            return parts[0]
        return {
            site: {name: torch.cat([part[site][name] for part in parts]) for name in names}
            for site, names in wanted.items()
        }

    def _refuse_unless_finite(
        self,
        tokens: np.ndarray,
        settings: CaptureItem,
        stored: torch.Tensor,
        chosen: np.ndarray,
        rows: np.ndarray,
    ) -> None:
        """Raise UserError naming the first token whose stored activations are not finite."""
        bad = (~torch.isfinite(stored)).any(1).nonzero()
        if not len(bad):
            return
        first = int(bad[0])
        context, position = self.plan.where(int(rows[first]))
        where = f"{self.model.name}, {settings.site}, context {context}, position {position}"
        found = forward_sites(self.model, torch.from_numpy(tokens), [settings.site])[settings.site]
        exact = found.flatten(0, 1)[int(chosen[first])]
        if torch.isfinite(exact).all():
            raise UserError(
                f"capture: an activation of {float(exact.abs().max()):g} does not fit into "
                f"{settings.dtype} ({where}). Set capture.dtype to bfloat16 or float32"
            )
        raise UserError(
            f"capture: the model itself gives NaN or infinity ({where}). Try dtype float32 for the "
            "model, and check its weights"
        )

    def _finish_arrays(self) -> None:
        """Close the arrays and write the places of rows: compressed once, then copied."""
        for item in self.items:
            self.writers[item.digest].finish()
        first = self.items[0].out / ROWS
        self.plan.write(first)
        for item in self.items[1:]:
            shutil.rmtree(item.out / ROWS, ignore_errors=True)
            shutil.copytree(first, item.out / ROWS)

    def _finish(self, item: Item) -> dict[str, Any]:
        """Write what else belongs beside the array; return the summary for the manifest."""
        write_json(self.plan.splits(), item.out / SPLITS)
        site = self.settings[item.digest].site
        return summary(self.plan, self.model.site_widths([site])[site], self.model.causal)


def _as_numpy(stored: torch.Tensor) -> np.ndarray:
    """The numbers as they go to disk; bfloat16 as its bits."""
    host = stored.cpu()
    if host.dtype == torch.bfloat16:
        return host.view(torch.int16).numpy().view(np.uint16)
    return host.numpy()

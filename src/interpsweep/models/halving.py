"""Forward passes that survive running out of memory."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

import torch

from interpsweep.context import Context
from interpsweep.errors import UserError, out_of_memory

Part = TypeVar("Part")


class Halving:
    """Work on batches of contexts; where one does not fit into memory, batches are halved for good.

    Smaller batches change the last bits of activations; the number of halvings goes into run.json.
    """

    def __init__(self, device: str, ctx: Context) -> None:
        self._device, self._ctx, self.halvings = device, ctx, 0

    def map(self, work: Callable[[slice], Part], contexts: int, remedy: str) -> list[Part]:
        """Results of `work` on consecutive parts of a batch, all of it at once if that fits.

        A part that fails is worked on again from the start, and so are those before it. Raises
        UserError with the `remedy` if not even one context fits.
        """
        size = max(1, math.ceil(contexts / 2**self.halvings))
        try:
            return [work(slice(i, min(i + size, contexts))) for i in range(0, contexts, size)]
        except (RuntimeError, MemoryError) as error:  # torch's own is a RuntimeError
            if not out_of_memory(error):
                raise
            if size == 1:
                raise UserError(f"not even one context fits into memory; {remedy}") from error
            self._halve()
        return self.map(work, contexts, remedy)

    def _halve(self) -> None:
        self.halvings += 1
        self._ctx.record(batch_halvings=self.halvings)
        self._ctx.log(f"out of memory: batches are now split into {2**self.halvings}")
        if self._device.startswith("cuda"):
            torch.cuda.empty_cache()

"""sparsify's sparse coder on a job of `common`.

Its trainer runs a language model inside its loop; here its coder is driven as that loop drives it
(loss FVU, Adam, decoder rows normalised), on the job's batches.
"""

from __future__ import annotations

from pathlib import Path

import torch
from common import Job, Step, main, write_topk
from sparsify import SparseCoder, SparseCoderConfig


def make(job: Job, d_in: int) -> tuple[Step, object]:
    """Forward, backward and Adam, and the coder's weights."""
    k = int(job.sparsity)
    coder = SparseCoder(
        d_in, SparseCoderConfig(num_latents=job.d_sae, k=k), device=job.device, dtype=torch.float32
    )
    adam = torch.optim.Adam(coder.parameters(), lr=job.rate)

    def step(x: torch.Tensor, number: int) -> torch.Tensor:
        adam.param_groups[0]["lr"] = job.rate_at(number)
        variance = (x - x.mean(0)).square().sum() / len(x)
        fvu = coder(x).fvu
        fvu.backward()
        coder.remove_gradient_parallel_to_decoder_directions()
        torch.nn.utils.clip_grad_norm_(coder.parameters(), 1.0)
        adam.step()
        adam.zero_grad()
        coder.set_decoder_norm_to_unit_norm()
        return fvu.detach() * variance

    def save(out: Path) -> None:
        write_topk(out, coder.encoder.weight.T, coder.W_dec, coder.encoder.bias, coder.b_dec, k)

    return step, save


if __name__ == "__main__":
    main(make)

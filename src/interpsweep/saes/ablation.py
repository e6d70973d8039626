"""Absorption of a probed value, by what its ablation costs the value's logit.

After Chanin et al. 2024, "A is for absorption", and its code, sae-spelling: where a probe finds the
value and none of the value's main latents fires, one other latent has absorbed the value if
ablating it costs by far the most of a metric, and its decoder row leans towards the probe. What an
ablation costs is attributed by integrated gradients (Sundararajan et al. 2017) along the line on
which all latents at the token go to zero, while the SAE's error stays as it is.

There the metric is a logit of the model's answer to a spelling prompt. Labelled text has none, so
it is the logit of a probe for the value at the next site that the sweep has further on in the
model, at the same token. Where nothing follows it is that of the probe at the site itself: what a
latent costs is then exactly its activation times its decoder row times the probe. Such logits have
whatever scale the probe's penalty leaves them, so the margin of sae-spelling, 1.0 of a difference
of logits, is a share of the mean difference that the value makes.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from interpsweep.config.probes import ProbesSettings

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def integrated_gradients(
    gradient: Callable[[Floats], Floats], carried: Floats, steps: int
) -> Floats:
    """Mean gradient (m, d) between the activations and the same without what latents add up to.

    ``gradient(shift)`` is that of the metric by the activations, after `shift` (m, d) was taken
    away from them; `carried` (m, d) are the latents' sums. Left Riemann sum: step i of n has
    i / n of them taken away.
    """
    total = np.zeros_like(carried)
    for step in range(steps):
        total += gradient(carried * (step / steps))
    return total / steps


def costs(codes: csr_matrix, decoder: Floats, gradient: Floats) -> csr_matrix:
    """What the ablation of every active latent costs the metric, with the pattern of `codes`.

    Codes (m, d_sae), unit decoder rows (d_sae, d), mean gradients (m, d). The negative of the
    scores of sae-spelling, whose baseline is zero.
    """
    parts = [
        codes.data[a:b] * (decoder[codes.indices[a:b]] @ gradient[row])
        for row, (a, b) in enumerate(zip(codes.indptr, codes.indptr[1:], strict=False))
    ]
    data = np.concatenate(parts) if parts else np.zeros(0)
    return csr_matrix((data, codes.indices, codes.indptr), codes.shape)


def absorbers(cost: csr_matrix, cosine: Floats, s: ProbesSettings) -> Ints:
    """The latent that absorbs the value at each token (m,), -1 = none.

    `cost` (m, d_sae) at tokens where no main latent fires, `cosine` (d_sae,) with the probe. The
    runner-up is the latent that costs second most, nothing if no other costs anything.
    """
    found = np.full(cost.shape[0], -1)
    for row, (a, b) in enumerate(zip(cost.indptr, cost.indptr[1:], strict=False)):
        if a == b:
            continue
        here, latents = cost.data[a:b], cost.indices[a:b]
        top = int(here.argmax())
        others = np.delete(here, top)
        runner_up = max(float(others.max()), 0.0) if len(others) else 0.0
        clear = here[top] >= 0 and here[top] - runner_up >= s.margin
        if clear and cosine[latents[top]] >= s.top_cosine:
            found[row] = latents[top]
    return found

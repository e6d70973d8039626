"""The products that training and encoding are made of, on sparse codes.

`codes` has the sparse matrix and its products, `choose` finds the latents that are active, `dense`
serves steps in which they are many, `native` holds the compiled CPU loops beneath all. Everything
is deterministic, whatever the number of threads: each row or latent is summed by one thread, in a
fixed order.
"""

from interpsweep.saes.kernels.choose import (
    Precision,
    above,
    few_above,
    keep_largest,
    rounded,
    top_columns,
    top_k,
)
from interpsweep.saes.kernels.codes import (
    ByColumn,
    Fit,
    SparseCodes,
    decode,
    fixed_k,
    from_coordinates,
    from_mask,
    reconstruct,
    sampled_products,
    sparse_gradients,
)

__all__ = [
    "ByColumn",
    "Fit",
    "Precision",
    "SparseCodes",
    "above",
    "decode",
    "few_above",
    "fixed_k",
    "from_coordinates",
    "from_mask",
    "keep_largest",
    "reconstruct",
    "rounded",
    "sampled_products",
    "sparse_gradients",
    "top_columns",
    "top_k",
]

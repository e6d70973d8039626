"""The products that training and encoding are made of, on sparse codes.

`codes` has the sparse matrix and its products, `choose` finds the latents that are active,
`native` holds the compiled CPU loops beneath both. Everything is deterministic, whatever the
number of threads: each row or latent is summed by one thread, in a fixed order.
"""

from interpsweep.saes.kernels.choose import (
    Precision,
    above,
    few_above,
    largest,
    product,
    top_columns,
    top_k,
)
from interpsweep.saes.kernels.codes import (
    ByColumn,
    SparseCodes,
    decode,
    fixed_k,
    from_coordinates,
    from_mask,
    reconstruct,
    sampled_products,
)

__all__ = [
    "ByColumn",
    "Precision",
    "SparseCodes",
    "above",
    "decode",
    "few_above",
    "fixed_k",
    "from_coordinates",
    "from_mask",
    "largest",
    "product",
    "reconstruct",
    "sampled_products",
    "top_columns",
    "top_k",
]

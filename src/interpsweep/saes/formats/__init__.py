"""SAEs in the formats of other packages, read without running anything that is in them.

`files` finds an SAE's files (ground floor: no numpy), `about` says what they are; one module for
each format reads the weights into a `foreign.Foreign`.
"""

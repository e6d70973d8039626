"""The content-addressed store: artifacts named by the digest of what they stand for.

`layout.py` says where things are, `manifest.py` what makes an item valid, `seal.py` and `check.py`
find damage, `attempt.py` makes an item in a private folder and publishes it, `lease.py` keeps two
live jobs off it, `history.py` knows how jobs ended, `failures.py` which items could not be made,
`outside.py` files that are not in the store.
"""

from interpsweep.store.layout import Store

__all__ = ["Store"]

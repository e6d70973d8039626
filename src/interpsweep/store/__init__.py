"""The content-addressed store: artifacts named by the digest of what they stand for.

`layout.py` says where things are, `manifest.py` what makes an item valid, `lease.py` keeps two
live jobs off one item, `attempt.py` makes an item in a private folder and publishes it, `care.py`
verifies, reclaims and collects garbage.
"""

from interpsweep.store.layout import Store

__all__ = ["Store"]

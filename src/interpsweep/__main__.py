"""``python -m interpsweep``."""

from interpsweep.cli import main

main()

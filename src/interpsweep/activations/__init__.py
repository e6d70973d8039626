"""Activations: capturing them, how they lie on disk, their statistics and the training stream.

`artifact.py`, `statistics.py` and `reader.py` are numpy and Zarr only; `capture.py` needs torch.
"""

"""Sparse autoencoders: training, evaluation, codes, and readers of what is stored.

`artifact` (weights) and `codes` (sparse codes) read with numpy alone; everything else needs torch.
"""

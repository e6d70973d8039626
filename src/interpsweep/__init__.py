"""interpsweep: sweeps of sparse autoencoders, from a model name to figures with evidence."""

__version__ = "0.1.0"

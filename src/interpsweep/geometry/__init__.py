"""The geometry of features: clusters of directions, a census of their shapes, known concepts."""

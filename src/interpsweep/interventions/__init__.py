"""Evidence that acts: what a model says when the value of a concept in its activations is changed."""

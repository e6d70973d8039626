"""Evidence that acts: what a model answers when a value in its activations changes."""

"""Corpora: tokens, contexts, splits and labels, from the planted language or from text."""

"""Worlds with known answers. Numpy only; nothing here reads a file."""

from interpsweep.config.corpora import LanguageSettings
from interpsweep.worlds.calendar import Language, Sample

__all__ = ["Language", "Sample", "language"]


def language(settings: LanguageSettings) -> Language:
    """The planted language of these settings."""
    return Language(settings)

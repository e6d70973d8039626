"""Worlds with known answers. Numpy and scipy only; nothing here reads a file."""

from interpsweep.config.corpora import LanguageSettings
from interpsweep.config.worlds import CompositionWorld, TreeWorld
from interpsweep.config.worlds import World as WorldSettings
from interpsweep.worlds.calendar import Language, Sample
from interpsweep.worlds.planted import World
from interpsweep.worlds.trees import Composition, Trees

__all__ = ["Language", "Sample", "World", "language", "world"]

_KINDS: dict[type, type[World]] = {TreeWorld: Trees, CompositionWorld: Composition}


def language(settings: LanguageSettings) -> Language:
    """The planted language of these settings."""
    return Language(settings)


def world(settings: WorldSettings) -> World:
    """The world of sparse planted features of these settings."""
    return _KINDS[type(settings)](settings)

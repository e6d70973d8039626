"""Settings of worlds with known answers: what is planted, and where it shows.

A kind of world is one class here and one class of `interpsweep.worlds` that draws it.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from interpsweep.config.base import Section, field


class Outliers(Section):
    """Massive rows, as models that predict the next token have them."""

    share: float = field(1e-3, "Share of the rows, of any tokens", gt=0, lt=0.5)
    norm: float = field(
        100.0, "What is added to them along one dimension; a feature's magnitude is 1", gt=0
    )


class _World(Section):
    """What every world has: x = sum of magnitudes times planted directions, plus noise."""

    d: int = field(64, "Width of the activations", unit="dimensions", ge=2, le=8192)
    seed: int = field(0, "Seed of the planted directions and of everything drawn", ge=0)
    noise: float = field(0.0, "Standard deviation of Gaussian noise in every dimension", ge=0)
    outliers: Outliers | None = field(None, "Massive rows, at the same tokens of every site")

    @property
    def labelled(self) -> bool:
        """Whether rows carry labels of concepts."""
        return False


class TreeWorld(_World):
    """Trees of features, where a child fires only with its parent, beside independent features.

    Directions are orthonormal while there are no more of them than dimensions, else random.
    """

    kind: Literal["tree"] = field("tree", "Trees of sparse features")
    roots: int = field(3, "Trees", unit="features", ge=0, le=4096)
    root_probability: float = field(0.15, "Probability of a root (of the first one)", gt=0, le=1)
    zipf: float = field(
        0.0,
        "The n-th root and the n-th independent feature are n ** -zipf times as probable as the "
        "first.",
        ge=0,
        le=3,
    )
    branching: int = field(3, "Children of every feature above the lowest level", ge=1, le=64)
    depth: int = field(1, "Levels below the roots", unit="levels", ge=0, le=6)
    child_probability: float = field(
        0.2, "Probability of each child given its parent (of the first one)", gt=0, le=1
    )
    child_ratio: float = field(
        1.0, "Each further child of a feature is this many times as probable as the one before.",
        gt=0, le=1,
    )  # fmt: skip
    exclusive: bool = field(True, "At most one child of a feature fires at a time.")
    child_magnitude: float = field(
        1.0, "Magnitude of a child relative to its parent's (a root's is 1)", gt=0
    )
    magnitude_noise: float = field(
        0.0, "Relative standard deviation of magnitudes (Gaussian, cut off at zero)", ge=0
    )
    scale_children: bool = field(
        False, "A child's magnitude also follows its parent's magnitude of the moment."
    )
    violations: float = field(
        0.0, "Firings of a child without its parent, relative to those with it", ge=0, le=1
    )
    independent: int = field(8, "Features that belong to no tree", ge=0, le=16384)
    independent_probability: float = field(
        0.05, "Probability of an independent feature (of the first one)", gt=0, le=1
    )
    correlation: float = field(
        0.0,
        "Scale of a random correlation of rank 8 between the firings of roots and independent "
        "features (Gaussian copula)",
        ge=0,
        lt=1,
    )

    @model_validator(mode="after")
    def _sound(self) -> TreeWorld:
        children = sum(self.child_probabilities)
        if self.exclusive and children > 1 + 1e-9:
            raise ValueError(
                f"child_probability: exclusive children have {children:g} together; lower it, or "
                "branching"
            )
        if self.roots + self.independent == 0:
            raise ValueError("roots: a world without roots needs `independent` features")
        return self

    @property
    def child_probabilities(self) -> tuple[float, ...]:
        """Of every child given its parent."""
        return tuple(self.child_probability * self.child_ratio**i for i in range(self.branching))


class CompositionWorld(_World):
    """Objects that always have one value of every attribute, beside independent features."""

    kind: Literal["composition"] = field("composition", "Values that only occur together")
    attributes: tuple[int, ...] = field(
        (2, 3), "Number of values of each attribute of an object", min_length=2
    )
    object_probability: float = field(0.3, "Probability of an object", gt=0, le=1)
    independent: int = field(6, "Features that belong to no object", ge=0)
    independent_probability: float = field(
        0.05, "Probability of an independent feature", gt=0, le=1
    )

    @model_validator(mode="after")
    def _values(self) -> CompositionWorld:
        if min(self.attributes) < 2:
            raise ValueError("attributes: every attribute needs at least two values")
        return self


World = TreeWorld | CompositionWorld
WorldSettings = Annotated[World, Field(discriminator="kind")]

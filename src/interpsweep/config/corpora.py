"""Settings of corpora: where the tokens come from, and the planted language with known structure."""

from __future__ import annotations

from pydantic import model_validator

from interpsweep.config.base import Section, field


class LanguageSettings(Section):
    """The planted language: sentences over about 400 words whose structure is known exactly."""

    seed: int = field(0, "Seed of the language itself: which filler words are frequent.", ge=0)
    numbers: int = field(24, "Number words on the number line, from zero up.", unit="words", ge=8, le=100)
    activities: int = field(12, "Words tuned to the weekday.", unit="words", ge=5, le=12)
    weathers: int = field(12, "Words tuned to the month.", unit="words", ge=5, le=12)
    sizes: int = field(9, "Words tuned to the size of a number.", unit="words", ge=3, le=9)
    kingdoms: int = field(4, "Kingdoms of the taxonomy.", unit="words", ge=2, le=4)
    classes: int = field(3, "Classes in each kingdom.", unit="words", ge=2, le=3)
    species: int = field(3, "Species in each class.", unit="words", ge=2, le=4)
    filler: int = field(150, "Filler words without structure.", unit="words", ge=12, le=2000)
    zipf: float = field(1.0, "Exponent of the frequencies of filler words.", ge=0, le=3)
    weekday_tuning: float = field(
        1.5, "Concentration (von Mises kappa) of activities around their weekday.", ge=0, le=20
    )
    month_tuning: float = field(
        2.0, "Concentration (von Mises kappa) of weathers around their month.", ge=0, le=20
    )
    number_tuning: float = field(
        0.2, "Standard deviation of size words around a number, in lengths of the number line.", gt=0, le=5
    )
    noise: float = field(
        0.02, "Probability that an answer or attribute is any word of its own list.", ge=0, le=1
    )
    share_weekdays: float = field(0.2, "Share of sentences about weekdays.", ge=0)
    share_months: float = field(0.2, "Share of sentences about months.", ge=0)
    share_numbers: float = field(0.2, "Share of sentences about numbers.", ge=0)
    share_taxonomy: float = field(0.25, "Share of sentences about the taxonomy.", ge=0)
    share_filler: float = field(0.15, "Share of sentences of filler words.", ge=0)
    arithmetic: float = field(
        0.2, "Share of the weekday, month and number sentences that state a sum.", ge=0, le=1
    )

    @model_validator(mode="after")
    def _some_sentences(self) -> LanguageSettings:
        if sum(self.shares().values()) <= 0:
            raise ValueError("at least one of the share_* fields must be above zero")
        return self

    def shares(self) -> dict[str, float]:
        """Unnormalised share of each kind of sentence."""
        return {
            "weekdays": self.share_weekdays,
            "months": self.share_months,
            "numbers": self.share_numbers,
            "taxonomy": self.share_taxonomy,
            "filler": self.share_filler,
        }

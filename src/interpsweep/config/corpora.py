"""Settings of corpora: where the tokens come from, and the planted language."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from interpsweep.config.base import Section, field


class LanguageSettings(Section):
    """The planted language: sentences over about 400 words whose structure is known exactly."""

    seed: int = field(0, "Seed of the language itself: which filler words are frequent.", ge=0)
    numbers: int = field(
        24, "Number words on the number line, from zero up.", unit="words", ge=8, le=100
    )
    activities: int = field(12, "Words tuned to the weekday.", unit="words", ge=5, le=12)
    weathers: int = field(12, "Words tuned to the month.", unit="words", ge=5, le=12)
    sizes: int = field(9, "Words tuned to the size of a number.", unit="words", ge=3, le=9)
    kingdoms: int = field(4, "Kingdoms of the taxonomy.", unit="words", ge=2, le=4)
    classes: int = field(3, "Classes in each kingdom.", unit="words", ge=2, le=3)
    species: int = field(3, "Species in each class.", unit="words", ge=2, le=4)
    filler: int = field(150, "Filler words without structure.", unit="words", ge=12, le=2000)
    zipf: float = field(1.0, "Exponent of the frequencies of filler words.", ge=0, le=3)
    weekday_tuning: float = field(
        2.0, "Concentration (von Mises kappa) of activities around their weekday.", ge=0, le=20
    )
    month_tuning: float = field(
        2.0, "Concentration (von Mises kappa) of weathers around their month.", ge=0, le=20
    )
    number_tuning: float = field(
        0.2,
        "Standard deviation of size words around a number, in lengths of the number line.",
        gt=0,
        le=5,
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


# ---------------------------------------------------------------- sources of tokens


class GeneratedSource(Section):
    """Sentences of the planted language that the model was trained on, or rows of a world."""

    source: Literal["generated"] = field(
        "generated", "The planted language of a trained model, or the rows of a world"
    )


class TextSource(Section):
    """Text files on this machine."""

    source: Literal["text"] = field("text", "Local files")
    files: tuple[str, ...] = field(
        description="Paths or globs of .txt, .jsonl (each also .gz or .zst) and .parquet files",
        identity=False,
        min_length=1,
    )
    documents: Literal["file", "paragraph", "line"] = field(
        "paragraph", "What one document of a .txt file is; paragraphs end at empty lines"
    )
    field: str = field("text", "Column of .jsonl and .parquet files that holds the text")


class DatasetSource(Section):
    """A data set of the Hugging Face hub, streamed, pinned to a commit by `interpsweep lock`."""

    source: Literal["datasets"] = field("datasets", "The Hugging Face hub")
    repo: str = field(
        description="Repository, such as `NeelNanda/pile-10k`",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?$",
    )
    revision: str = field(
        "main", "Branch, tag or commit; the lock keeps the commit it stood for", identity=False
    )
    config: str | None = field(None, "Configuration of the data set; null for its only one")
    split: str = field("train", "Split of the data set")
    field: str = field("text", "Column that holds the text")


class DocstringSource(Section):
    """Docstrings of installed Python packages: prose without network. Nothing is imported."""

    source: Literal["docstrings"] = field("docstrings", "Docstrings of installed packages")
    packages: tuple[str, ...] = field(
        (), "Packages to read; none means every installed package", identity=False
    )
    min_characters: int = field(100, "Shorter docstrings are left out", unit="characters", ge=1)

    @field_validator("packages")
    @classmethod
    def _names(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if not name.isidentifier():
                raise ValueError(f"{name!r} is not a name that could be imported")
        if len(set(names)) != len(names):
            raise ValueError("a package is named twice")
        return names


class TemplateSource(Section):
    """Sentences with a slot. The last token of what is in the slot carries the label: only there a
    causal model has read all of it."""

    source: Literal["templates"] = field("templates", "Sentences with labelled slots")
    slots: tuple[str, ...] = field(
        (), "Kinds of slot, as in the shipped lists (weekday, month, ...); none means all of them"
    )

    @field_validator("slots")
    @classmethod
    def _once(cls, slots: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(slots)) != len(slots):
            raise ValueError("a slot is named twice")
        return slots


# ---------------------------------------------------------------- corpora


class _Splits(Section):
    """What every corpus has."""

    n_tokens: int = field(
        1_000_000,
        "Tokens of the corpus, at most and nearly, marks such as BOS included",
        unit="tokens",
        ge=100,
    )
    seed: int = field(
        0, "Seed of the order of documents and of everything sampled", ge=0, lt=1 << 32
    )
    analysis_share: float = field(
        0.2, "Share of the tokens for codes, matching and geometry", gt=0, lt=1
    )
    eval_share: float = field(0.05, "Share of the tokens for evaluating SAEs", gt=0, lt=1)

    @model_validator(mode="after")
    def _some_training(self) -> Self:
        if self.analysis_share + self.eval_share >= 1:
            raise ValueError("analysis_share and eval_share leave no tokens to train on")
        return self

    @property
    def labelled(self) -> bool:
        """Whether tokens carry ground-truth labels."""
        return False


class _Corpus(_Splits):
    """What every corpus has that is made here."""

    context_length: int = field(
        64, "Longest context, marks such as BOS included", unit="tokens", ge=4, le=1 << 20
    )
    prepend_bos: bool | str = field(
        True,
        "Open every context with the BOS mark, if the tokenizer has one; a token such as "
        "`<|endoftext|>` opens them with that one",
    )
    special_tokens: Literal["text", "tokens"] = field(
        "text",
        "What a special token becomes that is written out in a text: text spells it out, tokens "
        "makes it the special token, which is marked and never captured",
    )


class GeneratedCorpus(_Corpus, GeneratedSource):
    """A corpus of the planted language or of a world."""

    @property
    def labelled(self) -> bool:
        """Every token of the planted language is known."""
        return True


class TextCorpus(_Corpus, TextSource):
    """A corpus of local files."""


class DatasetCorpus(_Corpus, DatasetSource):
    """A corpus of a hub data set."""


class DocstringCorpus(_Corpus, DocstringSource):
    """A corpus of docstrings."""


class TemplateCorpus(_Corpus, TemplateSource):
    """A corpus of template sentences only."""

    @property
    def labelled(self) -> bool:
        """Slots are labels."""
        return True


class ActivationsCorpus(_Splits):
    """The tokens that came with activations made elsewhere, in contexts as they came.

    At most `n_tokens` of them; fewer are no mistake.
    """

    source: Literal["activations"] = field(
        "activations", "The tokens of a model of source `activations`"
    )


class _Part(Section):
    share: float = field(1.0, "Share of the corpus's tokens, relative to the other parts", gt=0)


class TextPart(_Part, TextSource):
    """Local files as a part of a mix."""


class DatasetPart(_Part, DatasetSource):
    """A hub data set as a part of a mix."""


class DocstringPart(_Part, DocstringSource):
    """Docstrings as a part of a mix."""


class TemplatePart(_Part, TemplateSource):
    """Template sentences as a part of a mix."""


MixPart = Annotated[
    TextPart | DatasetPart | DocstringPart | TemplatePart, Field(discriminator="source")
]


class MixCorpus(_Corpus):
    """Several sources in given shares, their documents shuffled together."""

    source: Literal["mix"] = field("mix", "Several sources")
    parts: tuple[MixPart, ...] = field(description="The sources and their shares", min_length=1)

    @property
    def labelled(self) -> bool:
        """Labelled as far as one of its parts is."""
        return any(part.source == "templates" for part in self.parts)


CorpusSettings = (
    GeneratedCorpus
    | TextCorpus
    | DatasetCorpus
    | DocstringCorpus
    | TemplateCorpus
    | MixCorpus
    | ActivationsCorpus
)

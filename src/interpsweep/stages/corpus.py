"""Stage ``corpus``: tokens, documents, splits, labels."""

from interpsweep.stages.record import Sizes, Stage, Work


def _work(s: Sizes) -> Work:
    return Work(s.tokens, 8 * s.tokens, seconds=2e-5 * s.tokens)


def _held(s: Sizes) -> float:
    return 60.0 * s.tokens


STAGE = Stage(
    name="corpus",
    version=4,
    makes="tokens, documents, splits, labels",
    noun="corpora",
    module="interpsweep.corpora.build",
    settings="interpsweep.config.corpora:CorpusSettings",
    kind="corpora",
    target="corpus",
    reads=("model",),  # for its tokenizer, if its checkpoint is made here
    files=("corpus.json",),
    together=("model",),
    work=_work,
    held=_held,
)

"""Documents from a data set of the Hugging Face hub, streamed."""

from __future__ import annotations

from collections.abc import Iterator

from interpsweep.corpora.sources.document import Document
from interpsweep.corpora.sources.text import field_of
from interpsweep.errors import UserError


def documents(
    repo: str, commit: str | None, config: str | None, split: str, column: str
) -> Iterator[Document]:
    """Non-empty documents in the data set's own order, at one commit. No code of it is run."""
    import datasets

    try:
        rows = datasets.load_dataset(repo, config, split=split, revision=commit, streaming=True)
        for number, row in enumerate(rows, start=1):
            text = field_of(row, column, f"data set {repo}, row {number}")
            if text.strip():
                yield Document(text)
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise UserError(
            f"data set {repo} (config {config}, split {split}): {error}. Check the names; without "
            "network use corpus.source `text` with files fetched before"
        ) from error

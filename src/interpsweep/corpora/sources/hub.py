"""Texts from a data set of the Hugging Face hub, streamed."""

from __future__ import annotations

from collections.abc import Iterator

from interpsweep.corpora.sources.text import field_of, one_line
from interpsweep.errors import UserError


def texts(
    repo: str, commit: str | None, config: str | None, split: str, column: str
) -> Iterator[str | None]:
    """Texts in the data set's own order, None for null, at one commit. No code of it is run."""
    import datasets
    from pyarrow.lib import ArrowException

    number = 0
    try:
        rows = datasets.load_dataset(repo, config, split=split, revision=commit, streaming=True)
        for number, row in enumerate(rows, start=1):
            yield field_of(row, column, f"data set {repo}, row {number}")
    except (OSError, ValueError, ArrowException, datasets.exceptions.DatasetsError) as error:
        raise UserError(
            f"data set {repo} (config {config}, split {split}), row {number + 1}: "
            f"{one_line(error)}. Check the names; without network use "
            "corpus.source `text` with files fetched before"
        ) from error

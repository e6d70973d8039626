"""Sources of documents. Each module has `documents(...)`, an iterator of `Document`s."""

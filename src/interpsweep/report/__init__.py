"""The atlas of a sweep (`report`) and its archive for a paper (`bundle`)."""

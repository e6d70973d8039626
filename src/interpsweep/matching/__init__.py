"""Features of two dictionaries compared: cosines, co-firing, nulls, and the trees that follow from
them.
"""

"""The typed configuration: one pydantic section per part of the pipeline.

`sweep.py` is the root; `load.py` reads YAML and reports errors by line and dotted key;
`generate.py` writes the defaults, the JSON schema and the reference page from these classes.
"""

"""Language models: their sites and identity (no torch), loading, training and forward passes.

`sites.py` and `identity.py` are plain Python, so that the driver can plan without torch; `load.py`,
`forward.py` and `train.py` belong to the torch floor and are imported only by jobs that need them.
"""

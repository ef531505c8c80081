"""Making a research run, a model version or an order again, and saying whether it is the same to the bit.

``target`` finds what is to be made again, ``replay_home`` holds the replay, ``stages`` compares what came out,
``order`` the decision behind an order. Not here: the making itself, which is the line's own (``jobs/reproduce.py``).
"""

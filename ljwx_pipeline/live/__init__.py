"""The live runner: its journal, feed, risk gate, brokers, bundle inbox, loop and loopback API.

Not here: the decision, matching and fee kernels (``trading/``), the console (``console/``, which meets this package
only through the journal), and anything that trains or promotes.
"""

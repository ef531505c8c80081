"""Where data comes from: the port every source implements, and the sources behind it.

Not here: storing what was read (``lake/``), judging it (``quality/``).
"""

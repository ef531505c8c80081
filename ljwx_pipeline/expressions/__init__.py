"""What factors and labels are written in: expression nodes, operators, compiled kernels, ``evaluate``.

Not here: which factors exist (``factors/``), what the label is (``label.py``), data frames as input.
"""

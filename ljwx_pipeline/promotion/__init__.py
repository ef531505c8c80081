"""Whether a model may trade, and the way of one that may: statistics, gate, model card, deployment.

Not here: what is measured (``evaluation/``), where models are recorded (``registry.py``), trading itself (``live/``).
"""

"""What whoever starts the runner is told: that it is ready, that it gets on, how it ended, whether to start it again.

Not here: what the runner does (``live/``), the units and the compose file that start it (``docker/``).
"""

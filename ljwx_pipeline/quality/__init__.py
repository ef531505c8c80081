"""What rows must hold: checks as data, statistics, quarantine, scores, and the published Great Expectations suite.

``run.run_checks`` runs every rule that applies (``checks.CHECKS``, ``anomalies.ANOMALIES``) and ``run.checked`` or
``quarantine.split`` hand on the rows that passed; ``score`` and ``figures`` show it by session, ``history`` compares
two versions of the same rows, ``reconcile`` two providers. Not here: mending data, and where anything is stored.
"""

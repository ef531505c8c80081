"""What rows must hold: schemas, checks as data, and the published Great Expectations suite.

``results.CheckResult`` is what every check yields; ``run.run_checks`` runs all that apply; ``suite.run_suite`` writes
the report people read. Not here: mending data.
"""

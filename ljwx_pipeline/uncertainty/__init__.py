"""How sure a score is: prediction intervals that hold their coverage over time, how they are judged, who is too unsure.

Pure functions of arrays on numpy and pandas alone, as the runner uses them too. Not here: members of a model that
foretell quantiles (``scoring/model.py``), which sessions an order rests on, where a state is kept.
"""

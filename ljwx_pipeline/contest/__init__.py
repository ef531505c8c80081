"""Champion against challengers on live sessions: who is scored beside whom, what the evidence says, what follows.

``record`` holds what a contest was begun with and how it went on, ``returns`` what each model earned, ``standing``
judges it, ``moves`` begins and ends contests in registry and record, ``page`` shows them. Not here: the sequential test
(``monitoring/sequential.py``), scores and what a day does (``assets/contest.py``), who becomes champion
(``promotion/``).
"""

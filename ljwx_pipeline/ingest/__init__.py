"""From a source to the lake: what is missing is fetched unit by unit, staged, and stored by month with its known-at.

``plan`` says what to fetch, ``staging`` keeps what was fetched until it is stored, ``store`` writes months and notices
restatements, ``bars`` and ``tables`` run the whole of it. Not here: how a provider is asked (``sources/``), how a
version is kept (``lake/``), whether rows are good (``quality/``).
"""

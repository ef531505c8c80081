"""Several strategies on one account: each has a book of its own, all of them together are the account.

A **sleeve** is one strategy at one stage with a share of the account's capital. Everything here but ``reading.py`` and
``desk.py`` is pure. ``strategies.py`` says which strategies there are and what a change of them means, ``parts.py``
divides whole numbers, ``book.py`` holds what a sleeve has, ``attribution.py`` carries the books over a session,
``funding.py`` moves capital between them, ``netting.py`` makes the account's orders of what all sleeves want.
Not here: what one strategy decides (``decision.py``), when (``close_trading.py``), how orders travel
(``order_desk.py``).
"""

"""A seeded, versioned market with known truth: no price in it was ever quoted.

``roster`` says who is listed, ``shocks`` draws everything random beforehand, ``alpha`` is the planted truth, ``world``
walks the sessions, ``indices``, ``events`` and ``decoys`` derive the other tables, ``source`` is the public face.
"""

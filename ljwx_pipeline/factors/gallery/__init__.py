"""The gallery: seeded leaks as the small files people write, each with an honest twin of the same name.

``leaking/NAME.py`` must be caught, ``honest/NAME.py`` must not be accused; ``factors/leaks/gallery.py`` lists and runs
them. Nothing here is ever used as a factor.
"""

"""The loop over ``trading/``: scores in, equity, orders and positions out."""

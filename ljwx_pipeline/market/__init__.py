"""What the exchange says: symbols, boards, sessions, the dated rulebook, canonical tables and the dense panel."""

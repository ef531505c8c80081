"""Loopback servers that speak a data provider's own wire form over the simulated market, with faults on demand."""

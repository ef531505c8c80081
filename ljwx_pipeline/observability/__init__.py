"""Emit only: structured logs. Not here: deciding what an alert is."""

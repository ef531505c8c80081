"""Emit only: structured logs, and progress for a person who waits. Not here: deciding what an alert is."""

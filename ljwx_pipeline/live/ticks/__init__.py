"""From an exchange's snapshots to bars: which are believed, what is kept of too many, what they add up to.

Pure: no clock, no I/O; the instant is an argument. Not here: where ticks come from, what is decided on them.
"""

"""The console: a small web page and JSON about the paper account, its own process, reading the journal and reports.

Not here: anything that writes. It meets the runner only in the journal's file, so that neither can stop the other.
"""

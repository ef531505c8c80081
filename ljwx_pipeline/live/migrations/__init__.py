"""Migrations of the journal's durable tables; run by ``live/migrate.py``, never by hand."""

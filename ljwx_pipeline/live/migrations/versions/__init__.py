"""One file a revision. What has shipped is never edited, and imports nothing of this package that may change."""

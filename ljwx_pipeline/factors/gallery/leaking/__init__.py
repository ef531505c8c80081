"""Files that use what was not known; every one must be caught."""

"""Jobs, schedule and sensor of the one Dagster code location, and the process behind ``ljwx run``."""

"""What ``ljwx sweep`` is made of beside its command line: what is swept, what runs it, what is said of it."""

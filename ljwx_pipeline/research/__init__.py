"""What single factors are worth before any model: tear sheets."""

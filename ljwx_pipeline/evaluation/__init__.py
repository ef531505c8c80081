"""What a model and its backtest are worth: rank IC, performance, benchmarks, the report."""

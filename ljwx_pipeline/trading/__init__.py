"""Orders, costs, matching, the account and the decision: integer array kernels shared by backtest and live."""

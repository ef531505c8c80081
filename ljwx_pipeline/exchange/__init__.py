"""The paper exchange: a durable broker and market in a process of its own, reached over HTTP and WebSocket.

It plays the sessions of a session pack and keeps the account. It shares the rules of the market (``trading/``,
``market/``) and the wire (``trading/exchange_wire.py``) with the runner, and nothing else.
"""

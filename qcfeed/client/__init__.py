"""The client: follows quotes over a WebSocket, and reproduces how clients disconnect.

stream.py follows symbols and reconnects by itself. gaps.py finds lost quotes by their sequence
numbers. repro.py subscribes and disconnects in every way a client can, and checks for leaks.
"""

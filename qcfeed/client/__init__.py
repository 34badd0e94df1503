"""A subscriber's side: follow quotes over a WebSocket, and rehearse how subscribers leave.

stream.py follows symbols and comes back by itself; gaps.py says what a quote's number gives away;
repro.py subscribes and disconnects in all the ways a client can, and checks what stays behind.
"""

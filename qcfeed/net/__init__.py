"""TCP for thousands of connections: event loop, poller, transport and acceptor.

This package knows nothing about WebSockets or quotes. Its tests compare the transport with asyncio's.
"""

"""TCP for thousands of connections: our event loop, poller, transport and acceptor.

This package knows nothing of WebSockets or quotes; asyncio's own transport is the oracle in its tests.
"""

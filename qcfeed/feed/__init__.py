"""The feed as pure logic: no asyncio, clock, randomness, logging or sockets.

Time comes in as ``now`` (seconds, monotonic), chance as a ``draw`` in [0, 1); commands come out.
"""

"""The feed as pure logic: no asyncio, clock, randomness, logging or sockets.

Callers pass the time as ``now`` (seconds, monotonic) and a random number as ``draw`` (in [0, 1)).
The lifecycle answers with commands; ``qcfeed.server`` carries them out.
"""

"""How long a test waits for what must come."""

PATIENCE = 120.0
"""Seconds until an awaited event counts as missing.

It measures nothing: an event that comes at all comes in a fraction of it, also where other programs
take most of the processor. Only a failing test waits that long.
"""

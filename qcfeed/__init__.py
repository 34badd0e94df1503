"""A market-data feed service whose tasks cannot leak, and the on-call tool that proves it."""

__version__ = "0.1.0"

"""Live-task diagnosis for any asyncio program.

Standard library only; imports nothing else of qcfeed. Begin with :class:`~.spawn.Ledger`.
"""

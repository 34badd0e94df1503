"""Faults on purpose, so that they can be rehearsed. Only the composition (service/app.py) reaches them.

A drill breaks one part of the service, for a bounded time, and puts it back wholly: the ledger proves
it. ``catalog.py`` is the table; ``board.py`` has the one that is on.
"""

"""Drills: deliberate faults, to rehearse incidents. Only service/app.py imports them into the service.

A drill breaks one part of the service for a limited time and restores it completely, which the ledger
verifies. ``catalog.py`` lists the drills; ``active.py`` runs one at a time.
"""

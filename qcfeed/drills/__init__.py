"""Drills: deliberate faults, to rehearse incidents. Only service/service_drills.py brings them into the service.

A drill breaks one part of the service for a limited time and restores it completely, which the ledger
verifies. ``catalog.py`` lists the drills; ``runner.py`` runs one at a time.
"""

"""The whole service: its parts put together, started, drained and stopped.

The only package that knows the server and the drills at once.
"""

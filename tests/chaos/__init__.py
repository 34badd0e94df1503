"""A random walk of clients, operators, drills and stale upstreams against the real service, checked by a model.

`make chaos` runs it for long (__main__.py); the suite runs a few seeds (test_chaos.py).
"""

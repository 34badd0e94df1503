"""The complete service: creates its parts, starts, drains and stops them.

The only package that imports both the server and the drills.
"""

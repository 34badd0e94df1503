"""The checks of ``qcfeed doctor``: installation, machine, service and Prometheus.

A check is a function of a Case. It returns a description of what it found if that is fine, raises
CheckFailedError (or any other QcfeedError) if it is not, and Skip if it cannot be checked.
"""

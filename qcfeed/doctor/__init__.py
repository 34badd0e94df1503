"""Is everything as it should be? Checks, one after another, each with what to type when it is not.

A check is a function of a Case. It returns what it found, in words, when all is well; it raises
FaultError when something is not (any QcfeedError is one too) and Skip when it cannot be looked at.
"""

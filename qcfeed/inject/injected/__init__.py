"""The code that runs inside the other program. It is sent there as text, and imported here only by tests.

It uses the standard library alone, touches no module of the program, and raises nothing into it.
"""

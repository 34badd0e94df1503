"""Runs code in another Python process that is already running (PEP 768): ``attach PID``, ``tasks --pid``.

CPython 3.14 and later run a script that another process asks for. The way of a request:

- ``process`` reads in /proc what the process is, and refuses what cannot work;
- ``runtime`` finds the interpreter in the process's memory and asks it to run a script;
- ``tracing`` stops the thread while that is written, which also wakes it;
- ``asking`` asks one thread after the other, and withdraws the request if none comes by;
- ``exchange`` makes the script and takes its report;
- ``injected/`` has the code that runs over there, with the standard library alone;
- ``resident`` is imported over there by ``attach``, and holds what ``detach`` ends.
"""

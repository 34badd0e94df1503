"""Runs code in another Python process that is already running (PEP 768): ``attach PID``, ``tasks --pid``.

CPython 3.14 and later run a script if another process requests it. A request takes these steps:

- ``process`` reads /proc to identify the process, and refuses those that cannot be attached to;
- ``runtime`` finds the interpreter in the process's memory and asks it to run a script;
- ``tracing`` stops the thread while the request is written, which also wakes it;
- ``asking`` asks one thread after the other, and withdraws the request if none reacts;
- ``exchange`` creates the script and receives its report;
- ``injected/`` has the code that runs in the other process, with the standard library alone;
- ``resident`` is imported there by ``attach``, and holds the parts that ``detach`` ends.
"""

"""Shell completion, without importing the command line.

The scripts in ``completions/`` (scripts.py) call ``qcfeed __complete SHELL ...``. ``line.py`` determines
what is at the cursor from ``words.json``, which is generated from the commands (words.py). ``live.py``
requests values from the running service, for at most 200 ms.

Only words.py may import typer, msgspec or another slow module: a person waits at every TAB.
"""

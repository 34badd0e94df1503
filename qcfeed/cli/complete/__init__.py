"""What a TAB could mean, answered without importing the command line.

``qcfeed __complete SHELL ...`` is called by the scripts of ``completions/`` (scripts.py). ``line.py``
finds out from ``words.json``, which is written from the commands (words.py), what stands at the cursor;
``live.py`` asks the running service where that is a value of its own, for 200 ms or not at all.

Nothing here but words.py may import typer, msgspec or anything else that takes its time: a person
waits for every one of these milliseconds.
"""

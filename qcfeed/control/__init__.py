"""The control plane: what may be asked of a running process, and how it answers.

answers.py is the vocabulary; server.py speaks it from a thread of its own, client.py to it.
"""

"""One definition of every message and every answer: what subscribers, commands and files exchange.

Plain data. Nothing here imports anything else of qcfeed but ``errors`` and ``formats``.
"""

"""Shared input parsing and output of the commands: tables, durations, sizes, times, confirmation prompts.

Nothing here imports a command.
"""

"""Leaky and sound asyncio programs, and what several tools say of them. ``python -m benchmarks.leaks``."""

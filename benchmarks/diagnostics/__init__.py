"""Cost of observing tasks, beside peers. ``python -m benchmarks.diagnostics``."""

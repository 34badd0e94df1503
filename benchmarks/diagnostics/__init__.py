"""What looking at tasks costs a program, beside its peers. ``python -m benchmarks.diagnostics``."""

"""What the hop through NATS costs: ``python -m benchmarks.scaleout``."""

"""Benchmarks behind the figures in README and docs/explanation/performance.md. Ratios within one run on one machine."""

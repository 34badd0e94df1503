"""Benchmarks behind the figures in README and docs/performance.md. Ratios within one run on one machine."""

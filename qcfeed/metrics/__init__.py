"""Metrics: the catalog, the exposition, memory growth, and queries to Prometheus."""

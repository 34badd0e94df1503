"""Every metric, recording rule, alert and dashboard panel, declared once.

The exposition at /metrics, the Prometheus rules, the Grafana dashboard, docs/reference/metrics.md and the links
to the runbooks are generated from these declarations.
"""

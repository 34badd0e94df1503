"""What is measured, asked for and shown, declared once: metrics, recordings, alerts, panels.

Everything else is written from here: the exposition at /metrics, the rules, the dashboard,
docs/metrics.md and the links to the runbooks.
"""

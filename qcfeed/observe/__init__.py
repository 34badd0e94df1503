"""Observing a service over its control plane for as long as somebody looks: for `top`, `diagnose` and the status page."""

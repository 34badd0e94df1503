"""Optional integrations of third-party tools; only service/app.py imports them."""

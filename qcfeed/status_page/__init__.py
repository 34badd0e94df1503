"""The status page: what it shows (view.py), how often it asks (source.py), and its files (assets/)."""

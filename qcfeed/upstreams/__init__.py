"""Upstreams, the sources of quotes, behind one interface (base.py): simulator, replay, coinbase."""

"""Where quotes come from, behind one protocol (base.py): simulator, replay, coinbase."""

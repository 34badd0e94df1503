"""A game day in one command: everything started, broken, watched, mended by somebody, and stopped."""

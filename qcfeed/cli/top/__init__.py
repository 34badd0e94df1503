"""``qcfeed top``: a full screen, what is on it, and whom it asks."""

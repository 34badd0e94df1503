"""``qcfeed memory``: what the memory of a program is made of."""

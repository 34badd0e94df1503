"""``qcfeed keys``: the commands, and the file that they change."""

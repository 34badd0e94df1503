"""``qcfeed tasks`` and its subcommands: a file each, and what they have in common."""

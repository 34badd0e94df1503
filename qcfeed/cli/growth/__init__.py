"""``qcfeed growth``: where its timeline comes from, and how it is shown."""

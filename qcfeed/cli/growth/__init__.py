"""``qcfeed growth``: its data source, output and plots."""

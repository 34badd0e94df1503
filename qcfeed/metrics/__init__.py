"""What is measured: the catalog, how it is exposed, and the process's memory."""

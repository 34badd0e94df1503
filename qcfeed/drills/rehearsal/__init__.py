"""``qcfeed drill rehearse``: starts a service and its monitoring, runs a drill, and waits for its end."""

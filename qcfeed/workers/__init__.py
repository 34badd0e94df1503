"""``qcfeed serve --workers N``: N gateways behind one port, a feeder and a NATS server, as one service."""

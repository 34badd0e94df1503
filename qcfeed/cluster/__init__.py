"""Scale-out on NATS: feeders publish quotes, gateways serve them to subscribers.

``core`` is the logic, without I/O or a clock; the modules here carry it out on a NATS connection.
docs/how-to/scale.md describes the parts for operators, docs/adr/0035 gives the reasons.
"""

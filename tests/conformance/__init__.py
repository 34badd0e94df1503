"""Autobahn's TestSuite against the service's WebSocket server and `watch`'s client (docs/reference/conformance.md)."""

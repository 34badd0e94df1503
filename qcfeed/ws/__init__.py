"""The server side of WebSocket (RFC 6455): request head, handshake, frames, compression, connections."""

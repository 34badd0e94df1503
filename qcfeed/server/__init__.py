"""The server: the hub runs the feeds, the gateway the WebSocket connections, handlers answer the CLI."""

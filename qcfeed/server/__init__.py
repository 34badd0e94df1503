"""The running feed: hub drives core, gateway speaks WebSocket, app puts it all together."""

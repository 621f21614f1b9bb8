"""The gateway: REST, WebSocket and metrics over the running platform."""

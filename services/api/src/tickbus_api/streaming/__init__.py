"""Streams: topics that clients subscribe to, over a WebSocket or as server-sent events."""

"""Binance spot's public protocol: REST, market streams, WebSocket API."""

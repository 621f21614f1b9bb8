"""A simulated venue with a real matching engine that speaks Binance spot's public protocol."""

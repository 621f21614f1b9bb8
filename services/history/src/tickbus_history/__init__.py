"""Candles and statistics of the market, kept in Postgres."""

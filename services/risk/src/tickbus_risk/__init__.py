"""The only gate to a venue: every pre-trade check and the kill switch."""

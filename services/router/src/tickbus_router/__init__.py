"""Splits an order for the venue `smart` over the venues that trade it."""

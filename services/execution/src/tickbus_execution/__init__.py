"""Execution: an order's whole life at one venue account."""

"""An order's whole life at one venue account."""

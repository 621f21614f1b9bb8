"""The durable books: orders, fills, fees, positions and P&L."""

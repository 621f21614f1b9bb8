"""The seeded crowd that makes a market: makers, takers, trends and forced selling."""

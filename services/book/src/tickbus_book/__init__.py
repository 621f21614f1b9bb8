"""Replicas of the order books and the views derived from them."""

"""Kills and breaks a platform under load, by a seed, and compares its books with the venues'."""

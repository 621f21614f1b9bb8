"""Tells people what they have to know, through the channels they read."""

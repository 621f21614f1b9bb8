"""Cancels every order of every account, whatever else of the platform is down."""

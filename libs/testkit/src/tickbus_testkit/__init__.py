"""Builders and real brokers for the tests of every member."""

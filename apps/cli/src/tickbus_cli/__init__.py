"""The tickbus command line: starts, watches, replays and benchmarks the platform."""

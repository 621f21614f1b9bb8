"""Runs the feed: `python -m tickbus_feed`."""

from tickbus.runtime import main
from tickbus_feed.service import build

main("feed", build, sharded=True)

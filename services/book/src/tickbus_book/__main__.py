"""Runs the book service: `python -m tickbus_book`."""

from tickbus.runtime import main
from tickbus_book.service import build

main("book", build, sharded=True)

"""Runs the kill switch: `python -m tickbus_killswitch`."""

from tickbus_killswitch.service import main

if __name__ == "__main__":
    main()

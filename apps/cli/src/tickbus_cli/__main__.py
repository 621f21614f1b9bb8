"""The entry point: `tickbus` and `python -m tickbus_cli`."""

import sys

from tickbus_cli.main import main

if __name__ == "__main__":
    sys.exit(main())

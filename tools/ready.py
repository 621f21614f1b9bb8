"""The container's health check: exit 0 when the service beside it says that it is ready.

Bare sockets, because it starts every few seconds in every container and imports cost more than it.
"""

import os
import socket
import sys

TIMEOUT_S = 3.0
REQUEST = b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def ready(port: int) -> bool:
    """Whether `/readyz` on this machine's `port` answers 200 in time."""
    try:
        with socket.create_connection(("127.0.0.1", port), TIMEOUT_S) as connection:
            connection.sendall(REQUEST)
            status = connection.makefile("rb").readline().split(b" ")
    except OSError:
        return False
    return status[1:2] == [b"200"]


if __name__ == "__main__":
    sys.exit(not ready(int(os.environ.get("TICKBUS_METRICS_PORT", "9100"))))

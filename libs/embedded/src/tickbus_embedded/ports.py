"""Finding a free TCP port, and saying who holds one that is not."""

import socket

import psutil

from tickbus_embedded.errors import EmbeddedError


def free_port(host: str = "127.0.0.1") -> int:
    """A TCP port of `host` that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def require_free(server: str, host: str, port: int) -> None:
    """Raise EmbeddedError, naming the holder where the system tells, when `port` is taken."""
    with socket.socket() as probe:
        # As the servers do: connections that linger in TIME_WAIT do not make a port taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise EmbeddedError(
                f"{server} cannot listen on {host}:{port}: {_reason(port, error)}",
                "Stop that process or choose another port",
            ) from None


def _reason(port: int, error: OSError) -> str:
    holder = _holder(port)
    return f"the port is in use by {holder}" if holder else (error.strerror or str(error)).lower()


def _holder(port: int) -> str | None:
    """The process that listens on `port`; None where the system does not tell."""
    try:
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN and connection.pid
            if listens and connection.laddr and connection.laddr.port == port:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    except psutil.Error:
        pass
    return None

"""Finding a free TCP port, claiming it, and saying who holds one that is not free."""

import random
import socket
from collections import deque
from collections.abc import Iterable

import psutil

from tickbus_embedded.errors import EmbeddedError

# Below the ports that systems give to outgoing connections (from 32768 or 49152): no connection
# of whatever program takes a port between its choice and the start of the server it is for.
FIRST, LAST = 16_000, 32_700
CLAIMS_MAX = 200
ATTEMPTS = 2_000

# A claim is a UDP socket of the same number, which no server here uses: another process that asks
# meets it, and the system drops it when this process ends. The oldest are let go at the bound:
# their servers have been listening for long.
_claims: deque[socket.socket] = deque()


def free_port(host: str = "127.0.0.1") -> int:
    """A TCP port of `host` that nobody listens on, and that is given to nobody else meanwhile.

    Raises EmbeddedError when none is found.
    """
    for _ in range(ATTEMPTS):
        port = random.randint(FIRST, LAST)
        if _claim([port], host):
            return port
    raise _none_free()


def free_offset(ports: Iterable[int], host: str = "127.0.0.1") -> int:
    """A number that makes free ports of all `ports` when it is added; claimed like `free_port`'s.

    Raises EmbeddedError when none is found.
    """
    wanted = list(ports)
    for _ in range(ATTEMPTS):
        offset = random.randint(FIRST - min(wanted), LAST - max(wanted))
        if _claim([port + offset for port in wanted], host):
            return offset
    raise _none_free()


def require_free(server: str, host: str, port: int) -> None:
    """Raise EmbeddedError, naming the holder where the system tells, when `port` is taken."""
    if (error := _taken(host, port)) is not None:
        raise EmbeddedError(
            f"{server} cannot listen on {host}:{port}: {_reason(port, error)}",
            "Stop that process or choose another port",
        )


def _claim(ports: Iterable[int], host: str) -> bool:
    """Whether all of `ports` are free, and from now on ours."""
    claims: list[socket.socket] = []
    for port in ports:
        claim = socket.socket(type=socket.SOCK_DGRAM)
        claims.append(claim)
        try:
            claim.bind((host, port))
            is_ours = _taken(host, port) is None
        except OSError:
            is_ours = False
        if not is_ours:
            for each in claims:
                each.close()
            return False
    for claim in claims:
        if len(_claims) == CLAIMS_MAX:
            _claims.popleft().close()
        _claims.append(claim)
    return True


def _taken(host: str, port: int) -> OSError | None:
    """What the system says to who would listen there; None when the port is free."""
    with socket.socket() as probe:
        # As the servers do: connections that linger in TIME_WAIT do not make a port taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error
    return None


def _none_free() -> EmbeddedError:
    return EmbeddedError(
        f"No free port was found between {FIRST} and {LAST}", "Stop what listens there"
    )


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

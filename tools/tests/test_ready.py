"""The container's health check tells ready from not ready, deaf and absent."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

import ready


@contextmanager
def a_service(status: int) -> Iterator[int]:
    """A service whose /readyz answers `status`; yields its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/readyz" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.mark.parametrize(("status", "expected"), [(200, True), (503, False), (404, False)])
def test_only_a_200_is_ready(status: int, expected: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ready, "TIMEOUT_S", 60.0)
    with a_service(status) as port:
        assert ready.ready(port) is expected


def test_nobody_listening_is_not_ready() -> None:
    with socket.socket() as taken:  # and so by nobody else
        taken.bind(("127.0.0.1", 0))
        assert ready.ready(taken.getsockname()[1]) is False

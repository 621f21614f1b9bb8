"""A collector of traces for tests: OTLP over HTTP on loopback, decoded by the protocol's schema."""

import gzip
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

Facts = Mapping[str, str | int | float | bool]


class Received(NamedTuple):
    """One span as a collector sees it; ids are hexadecimal, stamps ns UTC."""

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    service: str
    start_ns: int
    end_ns: int
    attributes: Facts
    resource: Facts
    kind: int
    is_error: bool
    error: str
    links: tuple[tuple[str, str], ...]

    @property
    def duration_ns(self) -> int:
        """How long it took."""
        return self.end_ns - self.start_ns


class Collector:
    """Keeps the spans it is sent; answers with `status`, and with anything but 200 keeps none."""

    def __init__(self) -> None:
        self.spans: list[Received] = []
        self.requests: list[dict[str, str]] = []
        self.status = 200
        self._came = threading.Condition()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        """What OTEL_EXPORTER_OTLP_ENDPOINT is to be."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def serve(self) -> None:
        """Answer until `close`."""
        self._server.serve_forever(poll_interval=0.05)

    def close(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._server.server_close()

    def take(self, path: str, headers: dict[str, str], body: bytes) -> int:
        """One request; the status of its answer."""
        with self._came:
            self.requests.append(headers)
            if path != "/v1/traces":
                return 404
            if self.status == 200:
                if headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                self.spans += read(body)
            self._came.notify_all()
            return self.status

    def trace(self, trace_id: str) -> list[Received]:
        """The spans of a trace, in order of their beginning."""
        spans = [span for span in self.spans if span.trace_id == trace_id]
        return sorted(spans, key=lambda span: (span.start_ns, span.end_ns))

    def wait_for(self, n: int, timeout_s: float = 30.0) -> None:
        """Return once `n` spans are here. Raises AssertionError that lists what came instead."""
        with self._came:
            if not self._came.wait_for(lambda: len(self.spans) >= n, timeout_s):
                raise AssertionError(f"{len(self.spans)} of {n} spans: {self.spans}")


@contextmanager
def a_collector() -> Iterator[Collector]:
    """A collector that listens."""
    collector = Collector()
    thread = threading.Thread(target=collector.serve, daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        collector.close()
        thread.join(5)


def read(body: bytes) -> list[Received]:
    """The spans of an ExportTraceServiceRequest. Raises DecodeError."""
    request = ExportTraceServiceRequest()
    request.ParseFromString(body)
    found = []
    for of_resource in request.resource_spans:
        resource = _facts(of_resource.resource.attributes)
        for of_scope in of_resource.scope_spans:
            found += [_span(span, resource) for span in of_scope.spans]
    return found


def _span(span: Any, resource: Facts) -> Received:
    return Received(
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.name,
        str(resource["service.name"]),
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        _facts(span.attributes),
        resource,
        span.kind,
        span.status.code == 2,
        span.status.message,
        tuple((link.trace_id.hex(), link.span_id.hex()) for link in span.links),
    )


def _facts(attributes: Any) -> Facts:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}


def _handler(collector: Collector) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            """Take one request."""
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status = collector.take(self.path, headers, body)
            self.send_response(status)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler

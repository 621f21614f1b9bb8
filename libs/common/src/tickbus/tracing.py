"""The trace of an order: its ids follow from the order's, so whoever knows one knows the others."""

import hashlib
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

ROOT = "order"
ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?")


@lru_cache(maxsize=1024)
def trace_id_of(client_order_id: str) -> str:
    """The W3C trace id of an order: 32 hexadecimal digits, never all zero."""
    return hashlib.sha256(client_order_id.encode()).hexdigest()[:32]


def span_id_of(client_order_id: str, part: str = ROOT) -> str:
    """The W3C span id of `part` of an order's trace: 16 hexadecimal digits, never all zero.

    By default of its root.
    """
    return hashlib.sha256(f"{client_order_id}\0{part}".encode()).hexdigest()[:16]


def about(client_order_id: str) -> dict[str, Any]:
    """What a log line about an order takes as `extra`: the ids by which its trace is found.

    Nothing for "", which is no order.
    """
    if not client_order_id:
        return {}
    trace_id = trace_id_of(client_order_id)
    return {"fields": {"client_order_id": client_order_id, "trace_id": trace_id}}


def read_traceparent(header: str) -> tuple[str, str] | None:
    """The trace and the span that a W3C `traceparent` header names; None for one that is none."""
    match = _TRACEPARENT.fullmatch(header.strip())
    if match is None:
        return None
    trace_id, span_id = match[1], match[2]
    return None if not int(trace_id, 16) or not int(span_id, 16) else (trace_id, span_id)


def is_wanted(environment: Mapping[str, str]) -> bool:
    """Whether the standard variables in `environment` name a collector and do not forbid it."""
    return (
        any(environment.get(name) for name in ENDPOINTS)
        and environment.get("OTEL_SDK_DISABLED", "").lower() != "true"
        and environment.get("OTEL_TRACES_EXPORTER", "") in ("otlp", "")
    )

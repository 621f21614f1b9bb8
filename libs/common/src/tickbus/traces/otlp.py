"""Spans out by OTLP over HTTP, with the project's own exporter; imported only where it is on.

Everything about the way there (address, headers, certificates, compression, time-out, sampler) is
the standard `OTEL_*` variables, which the exporter and the sampler read themselves.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource as WireResource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, SpanFlags, Status
from opentelemetry.proto.trace.v1.trace_pb2 import Span as WireSpan
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import Decision

from tickbus import __version__
from tickbus.traces.spans import Kind, Span
from tickbus.tracing import ROOT

TRACES_KNOWN = 1024
"""Traces of which it is remembered whether they are sampled: each has many spans."""
_KINDS = {kind: WireSpan.SpanKind.Value(f"SPAN_KIND_{kind}") for kind in Kind}
_LOCAL = SpanFlags.SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK
_REMOTE = _LOCAL | SpanFlags.SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK


class _Wire(OTLPSpanExporter):
    """The standard exporter, given spans in the protocol's own words.

    What it makes of the SDK's spans takes three times as long, and we have none of those.
    """

    def send(self, request: ExportTraceServiceRequest) -> bool:
        """Send, and again within the time-out where that may help; False when nobody took it."""
        return self._client.export(request.SerializeToString()).success


class OtlpExporter:
    """Sends spans; each call waits for the collector, at most as long as the time-out says."""

    def __init__(self, service: str, instance: str) -> None:
        self._service = service
        self._instance = instance
        self._wire = _Wire()
        self._sampler = TracerProvider(shutdown_on_exit=False).sampler
        self._scope = InstrumentationScope(name="tickbus", version=__version__)
        self._resources: dict[str, WireResource] = {}
        self.is_wanted = lru_cache(maxsize=TRACES_KNOWN)(self._is_wanted)

    def _is_wanted(self, trace_id: str) -> bool:
        # By the id alone, so every service decides the same of a trace.
        result = self._sampler.should_sample(None, int(trace_id, 16), ROOT)
        return result.decision is Decision.RECORD_AND_SAMPLE

    def export(self, spans: Sequence[Span]) -> bool:
        """Send `spans`; False when the collector did not take them."""
        by_service: dict[str, list[WireSpan]] = {}
        for span in spans:
            by_service.setdefault(span.service, []).append(_told(span))
        return self._wire.send(
            ExportTraceServiceRequest(
                resource_spans=[
                    ResourceSpans(
                        resource=self._resource(service),
                        scope_spans=[ScopeSpans(scope=self._scope, spans=told)],
                    )
                    for service, told in by_service.items()
                ]
            )
        )

    def shutdown(self) -> None:
        """Give up what is being sent."""
        self._wire.shutdown()  # type: ignore[no-untyped-call]

    def _resource(self, service: str) -> WireResource:
        resource = self._resources.get(service)
        if resource is None:
            facts: dict[str, str | int | float | bool] = {
                "service.name": service,
                "service.namespace": "tickbus",
                "service.version": __version__,
            }
            if service == self._service:  # of others we only know when they had it
                facts["service.instance.id"] = self._instance
            known = Resource.create().attributes
            sdk = {name: value for name, value in known.items() if name.startswith("telemetry.")}
            wished = OTELResourceDetector().detect().merge(Resource({**sdk, **facts}))
            resource = WireResource(attributes=_attributes(wished.attributes))
            self._resources[service] = resource
        return resource


def _told(span: Span) -> WireSpan:
    return WireSpan(
        trace_id=bytes.fromhex(span.trace_id),
        span_id=bytes.fromhex(span.span_id),
        parent_span_id=bytes.fromhex(span.parent_id),
        name=span.name,
        kind=_KINDS[span.kind],
        start_time_unix_nano=span.start_ns,
        end_time_unix_nano=span.end_ns,
        attributes=_attributes(span.attributes),
        links=[
            WireSpan.Link(
                trace_id=bytes.fromhex(trace_id),
                span_id=bytes.fromhex(span_id),
                attributes=_attributes({"tickbus.link": what}),
                flags=_REMOTE,
            )
            for trace_id, span_id, what in span.links
        ],
        status=Status(code=Status.STATUS_CODE_ERROR, message=span.error) if span.error else None,
        flags=_REMOTE if span.parent_id else _LOCAL,
    )


def _attributes(facts: Mapping[str, object]) -> list[KeyValue]:
    return [KeyValue(key=name, value=_value(value)) for name, value in facts.items()]


def _value(value: object) -> AnyValue:
    match value:
        case bool():
            return AnyValue(bool_value=value)
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
    return AnyValue(string_value=str(value))

"""A collector of OTLP over HTTP: what spans are sent to."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import attrs
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

PATIENCE = 60.0


@attrs.frozen
class SentSpan:
    """A span as it came; ids in hex, "" for none."""

    name: str
    trace: str
    id: str
    parent: str
    attributes: dict[str, Any]
    links: tuple[str, ...]
    is_error: bool
    service: str


class Collector:
    """Use it in a `with` block."""

    def __init__(self) -> None:
        self._spans: list[SentSpan] = []
        self._came = threading.Condition()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def spans(self) -> list[SentSpan]:
        with self._came:
            return list(self._spans)

    def wait(self, condition: Callable[[list[SentSpan]], bool]) -> list[SentSpan]:
        """All spans, once they are as the condition says."""
        with self._came:
            assert self._came.wait_for(lambda: condition(self._spans), PATIENCE), self._spans
            return list(self._spans)

    def _take(self, request: ExportTraceServiceRequest) -> None:
        found = [
            SentSpan(
                name=span.name,
                trace=span.trace_id.hex(),
                id=span.span_id.hex(),
                parent=span.parent_span_id.hex(),
                attributes={one.key: _value(one.value) for one in span.attributes},
                links=tuple(link.span_id.hex() for link in span.links),
                is_error=span.status.code == 2,
                service=next(_value(one.value) for one in group.resource.attributes if one.key == "service.name"),
            )
            for group in request.resource_spans
            for scope in group.scope_spans
            for span in scope.spans
        ]
        with self._came:
            self._spans += found
            self._came.notify_all()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        collector = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                assert self.path == "/v1/traces", self.path
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                collector._take(ExportTraceServiceRequest.FromString(body))
                answer = ExportTraceServiceResponse().SerializeToString()
                self.send_response(200)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: object) -> None: ...

        return Handler


def _value(value: Any) -> Any:
    return getattr(value, value.WhichOneof("value"))

"""The span of each request: below that of its client, if it names one (W3C Trace Context), and named after the
operation. What it says of the request comes from its record, as the lines of logs do."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from opentelemetry import context as contexts
from opentelemetry import trace as api
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from bleepstore_server.exchange import SPAN, TRACE_ID
from bleepstore_server.layers.record import Record
from bleepstore_server.metrics.counting import BUCKET, KEY

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_METHODS = frozenset({"GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS"})
#: What is no whole and valid header counts as none, without a word in the log: anybody can send one.
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_MEMBER = r"[a-z0-9][a-z0-9_*/@-]{0,255}=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
_TRACESTATE = re.compile(rf"{_MEMBER}([ \t]*,[ \t]*{_MEMBER}){{0,31}}")
_MAX_TRACESTATE = 512
_MAX_USER_AGENT = 256
_propagator = TraceContextTextMapPropagator()


class RequestTraces:
    """Makes the spans of requests, by the global tracer provider or by another. `shows_keys`: with the keys of
    objects; without, with their lengths."""

    def __init__(self, tracer_provider: api.TracerProvider | None = None, *, shows_keys: bool = False) -> None:
        self._tracer = api.get_tracer("bleepstore_server", tracer_provider=tracer_provider)
        self._shows_keys = shows_keys

    @contextmanager
    def follow(self, environ: WSGIEnvironment) -> Iterator[None]:
        """A block in which the span of a request is current. It ends with its record, or if the block fails."""
        method = environ["REQUEST_METHOD"]
        method = method if method in _METHODS else "_OTHER"
        span = self._tracer.start_span(
            method if method in _METHODS else "HTTP",
            _context_of(environ),
            kind=api.SpanKind.SERVER,
            attributes={"http.request.method": method, "url.scheme": environ["wsgi.url_scheme"]},
        )
        own = span.get_span_context()
        if own.is_valid:  # not where OpenTelemetry is switched off
            environ[TRACE_ID] = api.format_trace_id(own.trace_id)
        if span.is_recording():
            environ[SPAN] = span
        token = contexts.attach(api.set_span_in_context(span))
        try:
            yield
        except BaseException as error:
            span.set_attribute("error.type", type(error).__name__)  # its message may have a key
            span.set_status(api.StatusCode.ERROR)
            span.end()
            raise
        finally:
            contexts.detach(token)

    def recorder(self, environ: WSGIEnvironment) -> Callable[[Record], None]:
        """What ends the span of a request with its record."""
        return functools.partial(self._end, environ[SPAN])

    def _end(self, span: api.Span, record: Record) -> None:
        if record.operation is not None:
            span.update_name(record.operation)
        for name, value in self._attributes(record):
            if value is not None:
                span.set_attribute(name, value)
        if record.status >= 500 or (record.error_code is not None and record.status < 400):
            span.set_status(api.StatusCode.ERROR, record.error_code)
        span.end()

    def _attributes(self, record: Record) -> Iterator[tuple[str, str | int | None]]:
        """By OpenTelemetry's conventions for servers of HTTP, and for S3."""
        yield "http.route", KEY if record.key else BUCKET if record.bucket else "/"
        yield "http.response.status_code", record.status
        yield "http.request.body.size", record.bytes_in
        yield "http.response.body.size", record.bytes_out
        yield "error.type", record.error_code
        yield "client.address", record.remote or None
        yield "user_agent.original", None if record.user_agent is None else record.user_agent[:_MAX_USER_AGENT]
        yield "enduser.id", record.principal
        yield "aws.request_id", record.request_id
        yield "aws.s3.bucket", record.bucket
        if record.operation is not None:
            yield from (("rpc.system", "aws-api"), ("rpc.service", "S3"), ("rpc.method", record.operation))
        if self._shows_keys:
            yield from (("aws.s3.key", record.key), ("aws.s3.copy_source", record.source))
        elif record.key is not None:
            yield "bleepstore.key_length", len(record.key.encode())


def _context_of(environ: WSGIEnvironment) -> contexts.Context:
    """What the client says it is a part of. Nothing of the thread's own: it has had other requests."""
    parent, state = environ.get("HTTP_TRACEPARENT", ""), environ.get("HTTP_TRACESTATE", "")
    if not _TRACEPARENT.fullmatch(parent):
        return contexts.Context()
    carrier = {"traceparent": parent}
    if len(state) <= _MAX_TRACESTATE and _TRACESTATE.fullmatch(state):
        carrier["tracestate"] = state
    return _propagator.extract(carrier, contexts.Context())

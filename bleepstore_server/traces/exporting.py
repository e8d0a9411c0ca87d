"""Spans on their way to a collector, as the standard variables OTEL_... say: by OTLP over HTTP, in batches, from a
thread. Nothing waits for it: what finds the queue full, or no collector, is dropped and counted."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

import bleepstore

#: The variables of the SDK for them, and its defaults.
_QUEUE, _BATCH = ("OTEL_BSP_MAX_QUEUE_SIZE", 2048), ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512)
#: How long the end of a process waits for what is still to be sent.
CLOSING_SECONDS = 5.0

#: Is told how many spans were sent, and how many dropped.
Told = Callable[[int, int], object]


class _CountingExporter(SpanExporter):
    """Tells what became of each batch, and how many spans it took out of the queue."""

    def __init__(self, exporter: SpanExporter, told: Told) -> None:
        self._exporter = exporter
        self._told = told
        self.taken = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.taken += len(spans)
        result = SpanExportResult.FAILURE
        try:
            result = self._exporter.export(spans)
        finally:
            is_sent = result is SpanExportResult.SUCCESS
            self._told(len(spans) if is_sent else 0, 0 if is_sent else len(spans))
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)


class _BoundedProcessor(BatchSpanProcessor):
    """Drops what the queue cannot take before the queue drops something by itself, which nobody could count."""

    def __init__(self, exporter: _CountingExporter, told: Told, size: int) -> None:
        super().__init__(exporter, max_queue_size=size, max_export_batch_size=min(_number(*_BATCH), size))
        self._counting = exporter
        self._told = told
        self._size = size
        self._put = 0
        self._lock = threading.Lock()

    def on_end(self, span: ReadableSpan) -> None:
        if span.context is None or not span.context.trace_flags.sampled:
            return
        with self._lock:
            is_full = self._put - self._counting.taken >= self._size
            if not is_full:
                self._put += 1
        if is_full:
            self._told(0, 1)
        else:
            super().on_end(span)


def open_provider(told: Told) -> TracerProvider:
    """Made in each process that serves, after the fork."""
    resource = Resource.create()
    if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):
        resource = resource.merge(Resource({SERVICE_NAME: "bleepstore"}))
    resource = Resource({SERVICE_VERSION: bleepstore.__version__}).merge(resource)
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    exporter = _CountingExporter(OTLPSpanExporter(), told)
    provider.add_span_processor(_BoundedProcessor(exporter, told, _number(*_QUEUE)))
    return provider


def close_provider(provider: TracerProvider) -> None:
    """Send what waits, if that takes no more than some seconds: the SDK itself would wait for half a minute."""
    thread = threading.Thread(target=provider.shutdown, name="bleepstore-traces", daemon=True)
    thread.start()
    thread.join(CLOSING_SECONDS)


def _number(variable: str, default: int) -> int:
    try:
        return max(int(os.environ.get(variable, default)), 1)
    except ValueError:
        return default

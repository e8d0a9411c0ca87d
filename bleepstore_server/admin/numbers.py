"""The row of the metrics."""

from __future__ import annotations

from bleepstore_server.admin.rows import Call, Row, Who
from bleepstore_server.response import Response


def _metrics(call: Call) -> Response:
    document, content_type = call.services.metrics.render(call.environ.get("HTTP_ACCEPT", ""))
    return Response(200, [("Content-Type", content_type)], document)


ROWS = (
    Row(
        method="GET",
        path="/metrics",
        who=Who.ANYBODY,
        summary="What the server counted, as Prometheus reads it",
        handler=_metrics,
        media_type="text/plain",
        on_s3_port=True,
    ),
)

"""The rows of health."""

from __future__ import annotations

from bleepstore_server.admin.answers import render
from bleepstore_server.admin.checks import Health, State
from bleepstore_server.admin.rows import Call, Row, Who
from bleepstore_server.response import Response, text


def _alive(_call: Call) -> Response:
    return text("ok\n")


def _ready(call: Call) -> Response:
    return text("ok\n") if call.services.checks.is_ready() else text("not ready\n", 503)


def _health(call: Call) -> Response:
    found = call.services.checks.run()
    return render(found, 503 if found.state is State.FAILURE else 200)


ROWS = (
    Row(
        method="GET",
        path="/healthz",
        who=Who.ANYBODY,
        summary="Whether the process answers",
        handler=_alive,
        media_type="text/plain",
    ),
    Row(
        method="GET",
        path="/readyz",
        who=Who.ANYBODY,
        summary="Whether a write can be expected to succeed; 503 if not",
        handler=_ready,
        media_type="text/plain",
    ),
    Row(
        method="GET",
        path="/health",
        who=Who.ANYBODY,
        summary="Each check of the store; 503 if one has failed",
        handler=_health,
        answer=Health,
        on_s3_port=True,
    ),
)

"""Logs as lines of JSON."""

from __future__ import annotations

import json
import logging
import signal
import sys
from collections.abc import Callable

from bleepstore_server.json_logs import JsonFormatter
from tests.serving.conftest import Served, serve

__all__ = ["serve"]


def test_each_line_that_a_server_logs_is_json(serve: Callable[..., Served]) -> None:
    served = serve("--log-format", "json", "--workers", "1", "--audit-log", "/dev/full")
    served.client().create_bucket(Bucket="photos")
    served.process.send_signal(signal.SIGTERM)
    output, _ = served.process.communicate(timeout=40)
    lines = [json.loads(line) for line in output.splitlines()]
    assert "bleepstore.server" in {line["logger"] for line in lines}
    assert all({"time", "level", "logger", "message", "process"} <= line.keys() for line in lines)


def test_a_line_has_the_request_and_the_exception_and_is_one_line() -> None:
    try:
        raise ValueError("first\nsecond")
    except ValueError:
        error = sys.exc_info()
    record = logging.LogRecord("bleepstore.server", logging.ERROR, "", 0, "request %s\nfailed", ("AB",), error)
    record.request_id = "AB"
    text = JsonFormatter().format(record)
    assert "\n" not in text
    line = json.loads(text)
    assert (line["level"], line["message"], line["request_id"]) == ("error", "request AB\nfailed", "AB")
    assert line["exception"].endswith("ValueError: first\nsecond")

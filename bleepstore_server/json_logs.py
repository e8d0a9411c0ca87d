"""Logs as lines of JSON: those of the store, of the server, and of gunicorn."""

from __future__ import annotations

import datetime as dt
import json
import logging
import sys
from typing import Any

from gunicorn.glogging import Logger as GunicornLogger


class JsonFormatter(logging.Formatter):
    """One line for each record, whatever is in it. `request_id` is there where the log tells of a request."""

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, Any] = {
            "time": dt.datetime.fromtimestamp(record.created, dt.UTC).isoformat(timespec="milliseconds")[:-6] + "Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "process": record.process,
        }
        request_id = getattr(record, "request_id", None)
        if request_id is not None:
            fields["request_id"] = request_id
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields, separators=(",", ":"))


class JsonLogger(GunicornLogger):  # type: ignore[misc]  # gunicorn has no type information
    """gunicorn's log, and with it all of ours."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        for handler in self.error_log.handlers:
            handler.setFormatter(JsonFormatter())
        ours = logging.getLogger("bleepstore")
        if not ours.handlers:
            handler = logging.StreamHandler(sys.stderr)
            handler.setFormatter(JsonFormatter())
            ours.addHandler(handler)
            ours.propagate = False

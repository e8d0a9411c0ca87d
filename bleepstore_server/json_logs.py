"""Logs as lines of JSON: those of the store, of the server, and of gunicorn."""

from __future__ import annotations

import datetime as dt
import json
import logging
import sys
from typing import Any

from gunicorn.glogging import Logger as GunicornLogger


class JsonFormatter(logging.Formatter):
    """One line for each record, whatever is in it. `request_id` is there where the log tells of a request,
    and `trace_id` where that is followed."""

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, Any] = {
            "time": dt.datetime.fromtimestamp(record.created, dt.UTC).isoformat(timespec="milliseconds")[:-6] + "Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "process": record.process,
        }
        for name in ("request_id", "trace_id"):
            value = getattr(record, name, None)
            if value is not None:
                fields[name] = value
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields, separators=(",", ":"))


class JsonLogger(GunicornLogger):  # type: ignore[misc]  # gunicorn has no type information
    """gunicorn's log, and with it all of ours."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        for handler in self.error_log.handlers:
            handler.setFormatter(JsonFormatter())
        for name in ("bleepstore", "opentelemetry"):
            logger = logging.getLogger(name)
            if not logger.handlers:
                handler = logging.StreamHandler(sys.stderr)
                handler.setFormatter(JsonFormatter())
                logger.addHandler(handler)
                logger.propagate = False

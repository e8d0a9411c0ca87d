"""Answers that are no pages."""

from __future__ import annotations

import json
from typing import Any

from werkzeug.wrappers import Response


def json_answer(value: Any, status: int = 200) -> Response:
    """For the scripts of the console."""
    return Response(json.dumps(value), status, content_type="application/json")

"""The least that gunicorn can do: 1 KiB from memory, or a file by sendfile."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_BODY = b"x" * 1024


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """/file sends the file FLOOR_FILE; /empty nothing; everything else reads the request's body and sends 1 KiB."""
    if environ["PATH_INFO"] == "/file":
        path = Path(os.environ["FLOOR_FILE"])
        start_response("200 OK", [("Content-Length", str(path.stat().st_size))])
        sent: Iterable[bytes] = environ["wsgi.file_wrapper"](path.open("rb"), 1 << 20)
        return sent
    while environ["wsgi.input"].read(1 << 20):
        pass
    body = b"" if environ["PATH_INFO"] == "/empty" else _BODY
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]

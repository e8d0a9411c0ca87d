"""An HTTP server that takes events, or does not."""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self


class Receiver:
    """Listens on a port of 127.0.0.1 that it keeps. `requests` are (headers, body) of what it got; `answer` is
    (status, headers, body) of the next answers. `before_answer` is called first. `port` 0: a free one."""

    def __init__(self, port: int = 0) -> None:
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.answer: tuple[int, dict[str, str], bytes] = (200, {}, b"")
        self.before_answer: Callable[[], object] | None = None
        self._changed = threading.Condition()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with receiver._changed:
                    receiver.requests.append((dict(self.headers), body))
                    receiver._changed.notify_all()
                if receiver.before_answer is not None:
                    receiver.before_answer()
                status, headers, content = receiver.answer
                self.send_response(status)
                for name, value in {"Content-Length": str(len(content)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST

            def log_message(self, format: str, *arguments: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/hook"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def wrap(self, context: ssl.SSLContext) -> None:
        """Speak TLS from now on."""
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)

    @property
    def records(self) -> list[dict[str, Any]]:
        return [record for _, body in list(self.requests) for record in json.loads(body).get("Records", ())]

    @property
    def keys(self) -> list[str]:
        """Of the objects, in the order in which their events came."""
        return [record["s3"]["object"]["key"] for record in self.records]

    def wait_for_keys(self, *keys: str, seconds: float = 40) -> None:
        """Return once events of all these keys came."""
        end = time.monotonic() + seconds
        with self._changed:
            while not set(keys) <= set(self.keys):
                assert self._changed.wait(end - time.monotonic()), f"only {self.keys} came"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

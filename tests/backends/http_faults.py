"""An HTTP proxy before an emulator that changes what passes: flipped bits, refusals, lost answers."""

from __future__ import annotations

import contextlib
import http.client
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import attrs

_HOP_BY_HOP = frozenset({"connection", "transfer-encoding", "content-length"})


@attrs.define
class Request:
    method: str
    path: str
    headers: Mapping[str, str]  # names in lower case
    body: bytes


@attrs.define
class Answer:
    status: int
    headers: list[tuple[str, str]] = attrs.field(factory=list)
    body: bytes = b""


#: Gives another request to pass on, an answer instead, or None to leave things as they are.
Rule = Callable[[Request], Request | Answer | None]


class Lost(Exception):
    """The connection ends without an answer."""


class HttpProxy:
    """`before` sees each request, `after` each answer. They may raise Lost. `seen` are the requests that came."""

    def __init__(self, target: str) -> None:
        self._target = urlsplit(target).netloc
        self.before: Rule = lambda _request: None
        self.after: Callable[[Request, Answer], Answer | None] = lambda _request, _answer: None
        self.seen: list[Request] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._serving = threading.Thread(target=self._server.serve_forever, args=(0.01,), name="http-proxy")
        self._serving.start()
        self.port: int = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}{urlsplit(target).path}"

    def answer(self, request: Request) -> Answer:
        found = self.before(request)
        if isinstance(found, Answer):
            return found
        answer = self.forward(found or request)
        return self.after(request, answer) or answer

    def forward(self, request: Request) -> Answer:
        with contextlib.closing(http.client.HTTPConnection(self._target, timeout=30)) as connection:
            headers = {name: text for name, text in request.headers.items() if name not in _HOP_BY_HOP}
            connection.putrequest(request.method, request.path, skip_host=True, skip_accept_encoding=True)
            for name, text in headers.items():
                connection.putheader(name, text)
            connection.putheader("Content-Length", str(len(request.body)))
            connection.endheaders(request.body)
            found = connection.getresponse()
            return Answer(found.status, found.getheaders(), found.read())

    def close(self) -> None:
        self._server.shutdown()
        self._serving.join()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one_request(self) -> None:
                with contextlib.suppress(ConnectionError):
                    super().handle_one_request()

            def _pass(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                headers = {name.lower(): text for name, text in self.headers.items()}
                request = Request(self.command, self.path, headers, body)
                proxy.seen.append(request)
                try:
                    answer = proxy.answer(request)
                except Lost:
                    self.close_connection = True
                    return
                self.send_response_only(answer.status)
                is_head = self.command == "HEAD"
                for name, text in answer.headers:
                    if name.lower() not in _HOP_BY_HOP or (is_head and name.lower() == "content-length"):
                        self.send_header(name, text)
                if not is_head:
                    self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                if not is_head:
                    self.wfile.write(answer.body)

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = do_PATCH = _pass

            def log_message(self, *_: object) -> None:
                pass

        return Handler


@contextlib.contextmanager
def http_proxy(target: str) -> Iterator[HttpProxy]:
    with contextlib.closing(HttpProxy(target)) as proxy:
        yield proxy


def flipped(body: bytes, at: int = 1000) -> bytes:
    """The same bytes but for one bit."""
    return body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]


def once(matches: Callable[[Request], bool], change: Callable[[Request], Any]) -> Rule:
    """A rule for the first request that `matches`."""
    left = [True]

    def rule(request: Request) -> Any:
        if left and matches(request):
            left.clear()
            return change(request)
        return None

    return rule


class ResumableProxy(HttpProxy):
    """Before an emulator of Google Cloud Storage: resumable uploads as Google documents them. The emulator takes the
    question how far an upload came for its end, keeps bytes twice that are sent twice, and ignores X-Goog-Hash.

    `keep` says how many bytes of a request are kept.
    """

    def __init__(self, target: str) -> None:
        super().__init__(target)
        self.keep: Callable[[int], int] = lambda length: length
        self._uploads: dict[str, bytearray] = {}
        self._done: dict[str, Answer] = {}

    def forward(self, request: Request) -> Answer:
        uploads = parse_qs(urlsplit(request.path).query).get("upload_id")
        if request.method != "PUT" or not uploads or "content-range" not in request.headers:
            return super().forward(request)
        (upload,) = uploads
        if upload in self._done:
            return self._done[upload]
        kept = self._uploads.setdefault(upload, bytearray())
        span, _, total = request.headers["content-range"].removeprefix("bytes ").partition("/")
        if span != "*":
            start = int(span.partition("-")[0])
            assert start <= len(kept), "there is a hole"
            kept += request.body[len(kept) - start :][: self.keep(len(request.body))]
        asked = span == "*" and "x-goog-hash" not in request.headers
        if asked or total == "*" or len(kept) < int(total):
            return Answer(308, [("Range", f"bytes=0-{len(kept) - 1}")] if kept else [])
        self._done[upload] = self._finish(request, bytes(kept))
        return self._done[upload]

    def _finish(self, request: Request, body: bytes) -> Answer:
        from bleepstore.backends.gateway.streams import Crc32c

        crc = Crc32c()
        crc.update(body)
        wanted = request.headers.get("x-goog-hash", "").removeprefix("crc32c=")
        if wanted and wanted != crc.text:
            text = b'{"error": {"code": 400, "message": "Provided CRC32C does not match."}}'
            return Answer(400, [("Content-Type", "application/json")], text)
        headers = dict(request.headers) | {"content-range": f"bytes 0-{len(body) - 1}/{len(body)}"}
        return super().forward(Request("PUT", request.path, headers, body))

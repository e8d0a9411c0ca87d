"""Presigned URLs within an `in_process` block: its store answers what requests, urllib3, urllib and httpx send to the
hosts of its clients.

urllib3 (and requests with it) and urllib.request write HTTP to a socket that `connect` of http.client makes: here it is
a buffer, and reading from it carries the request out. httpx is met at its transports. Requests to other hosts go where
they would, and what was replaced is put back at the end.
"""

from __future__ import annotations

import functools
import http.client
import importlib.abc
import importlib.machinery
import io
import itertools
import sys
import tempfile
import types
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from http import HTTPStatus
from typing import IO, Any

import attrs

from bleepstore.errors import StoreError
from bleepstore_server.transport import AnswerBody, InProcessAnswer, InProcessTransport

_PORTS = {"http": 80, "https": 443}
#: A request's body up to this many bytes is kept in memory.
_IN_MEMORY = 1024 * 1024
_HTTPX, _AIOHTTP = "httpx", "aiohttp"
_MISSING = object()

#: The transport for a URL, or None if it is not ours.
Find = Callable[[str], InProcessTransport | None]


class Patches:
    """Attributes of classes that are replaced, and put back as they were."""

    def __init__(self) -> None:
        self._replaced: list[tuple[Any, str, object, object]] = []
        #: What was replaced before, and by what: a suite of tests has a block for each.
        self._made: dict[tuple[Any, str], tuple[Any, Any]] = {}

    def replace(self, owner: Any, name: str, make: Callable[[Any], Any]) -> None:
        """`make` gives the new attribute for the original one."""
        original = getattr(owner, name)
        made = self._made.get((owner, name))
        if made is None or made[0] is not original:
            made = self._made[owner, name] = (original, make(original))
        self._replaced.append((owner, name, vars(owner).get(name, _MISSING), made[1]))
        setattr(owner, name, made[1])

    def undo(self) -> None:
        while self._replaced:
            owner, name, before, ours = self._replaced.pop()
            if vars(owner).get(name) is not ours:
                continue  # another replaced it since, and will put ours back, which lets everything pass
            if before is _MISSING:
                delattr(owner, name)
            else:
                setattr(owner, name, before)


class Interception:
    """What is replaced while `in_process` blocks are open."""

    def __init__(self, find: Find) -> None:
        self._find = find
        self._patches = Patches()
        self._on_import = _OnImport({_HTTPX: self._patch_httpx, _AIOHTTP: self._patch_aiohttp})

    def start(self) -> None:
        from urllib3 import connection

        for scheme, owner in (
            ("http", http.client.HTTPConnection),
            ("https", http.client.HTTPSConnection),
            ("http", connection.HTTPConnection),
            ("https", connection.HTTPSConnection),
        ):
            self._patches.replace(owner, "connect", functools.partial(_connect, scheme, self._find))
        for name, patch in self._on_import.wanted.items():
            if name in sys.modules:
                patch(sys.modules[name])
        sys.meta_path.insert(0, self._on_import)

    def stop(self) -> None:
        sys.meta_path.remove(self._on_import)
        self._patches.undo()

    def _patch_httpx(self, httpx: Any) -> None:
        sync, asynchronous = httpx.HTTPTransport, httpx.AsyncHTTPTransport
        handle = functools.partial(_httpx_handle, httpx, self._find)
        self._patches.replace(sync, "handle_request", handle)
        handle_async = functools.partial(_httpx_handle_async, httpx, self._find)
        self._patches.replace(asynchronous, "handle_async_request", handle_async)

    def _patch_aiohttp(self, aiohttp: Any) -> None:
        self._patches.replace(aiohttp.TCPConnector, "connect", functools.partial(_aiohttp_connect, self._find))


class _OnImport(importlib.abc.MetaPathFinder):
    """Calls a function on a module right after it was imported first."""

    def __init__(self, wanted: dict[str, Callable[[Any], None]]) -> None:
        self.wanted = wanted

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in self.wanted:
            return None
        others = (finder for finder in sys.meta_path if finder is not self)
        found = (finder.find_spec(fullname, path, target) for finder in others)
        spec = next((spec for spec in found if spec is not None), None)
        if spec is not None and spec.loader is not None:
            run, patch = spec.loader.exec_module, self.wanted[fullname]

            def exec_module(module: types.ModuleType) -> None:
                run(module)
                if self in sys.meta_path:  # the block may have ended
                    patch(module)

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]  # this loader is of this import alone
        return spec


# -- http.client, urllib.request, urllib3, requests


def _connect(scheme: str, find: Find, original: Any) -> Any:
    @functools.wraps(original)
    def connect(connection: Any) -> None:
        host = getattr(connection, "_tunnel_host", None) or connection.host
        port = getattr(connection, "_tunnel_port", None) or connection.port
        netloc = host if port in (None, _PORTS[scheme]) else f"{host}:{port}"
        transport = None if type(connection).__module__.startswith("botocore.") else find(f"{scheme}://{netloc}/")
        if transport is None:
            original(connection)
            return
        connection.sock = _Wire(transport, scheme, netloc)
        connection.is_verified = True  # urllib3 warns where no certificate was looked at; nobody needs one here

    return connect


class _Wire:
    """What http.client takes for a connected socket: it keeps one request, and reading from it is the answer."""

    def __init__(self, transport: InProcessTransport, scheme: str, netloc: str) -> None:
        self._transport = transport
        self._scheme, self._netloc = scheme, netloc
        self._is_answered = False
        self._sent: IO[bytes] = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115  # closed with the answer

    def sendall(self, data: Any) -> None:
        self._sent.write(data)

    def makefile(self, _mode: str, *_args: Any, **_options: Any) -> io.BufferedReader:
        """The answer, as bytes of HTTP. What goes wrong, such as a reset by a fault, is raised by reading it: by then
        http.client has an object that it can close."""
        try:
            answer = self._answer()
        except BaseException as error:  # noqa: BLE001  # it is raised again
            self._sent.close()
            return io.BufferedReader(_FailedAnswer(error))
        self._is_answered = True
        reason = HTTPStatus(answer.status).phrase
        lines = [f"HTTP/1.1 {answer.status} {reason}", *(f"{name}: {value}" for name, value in answer.headers)]
        head = "\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1")
        return io.BufferedReader(AnswerBody(_Closing(itertools.chain([head], answer.chunks), answer, self._sent), 0))

    def _answer(self) -> InProcessAnswer:
        self._sent.seek(0)
        line = self._sent.readline(65537).decode("latin-1")
        method, target, _version = line.split(" ", 2)
        fields = http.client.parse_headers(self._sent)
        host = fields.get("Host", self._netloc)
        body: Any = self._sent
        if fields.get("Transfer-Encoding", "").lower() == "chunked":
            body = _file_of(_unchunked(self._sent))
        if target.startswith(("http://", "https://")):  # as a proxy is asked
            target = "/" + target.split("/", 3)[3]
        return self._transport.answer(method, f"{self._scheme}://{host}{target}", fields.items(), body)

    def close(self) -> None:
        """An answer that has begun goes on without this."""
        if not self._is_answered:
            self._sent.close()

    def settimeout(self, _seconds: float | None) -> None:
        """Nobody waits here."""

    def setsockopt(self, *_args: object) -> None:
        """There is no socket."""


class _FailedAnswer(io.RawIOBase):
    def __init__(self, error: BaseException) -> None:
        self._error = error

    def readable(self) -> bool:
        return True

    def readinto(self, _buffer: object) -> int:
        raise self._error


class _Closing:
    """Chunks that close a WSGI answer, and what was sent for it, when they are closed."""

    def __init__(self, chunks: Iterator[bytes], answer: InProcessAnswer, sent: IO[bytes]) -> None:
        self._chunks, self._answer, self._sent = chunks, answer, sent

    def __iter__(self) -> Iterator[bytes]:
        return self._chunks

    def close(self) -> None:
        self._answer.close()
        self._sent.close()


def _unchunked(file: IO[bytes]) -> Iterator[bytes]:
    """The body behind the chunked transfer coding, as http.client and urllib3 write it."""
    while size := int(file.readline().split(b";")[0], 16):
        while size:
            piece = file.read(min(size, _IN_MEMORY))
            size -= len(piece)
            yield piece
        file.readline()


def _file_of(chunks: Iterable[bytes]) -> io.BufferedReader:
    return io.BufferedReader(AnswerBody(chunks, 0))


# -- httpx


def _httpx_url(request: Any) -> str:
    url = request.url
    return f"{url.scheme}://{url.netloc.decode('ascii')}{url.raw_path.decode('ascii')}"


@attrs.define
class _HttpxBody:
    """The chunks of an answer; one that is short fails as it does on the wire."""

    httpx: Any
    answer: InProcessAnswer
    left: int

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self.answer.chunks:
            self.left -= len(chunk)
            yield chunk
        if self.left > 0:
            raise self.httpx.RemoteProtocolError("peer closed connection without sending complete message body")


def _httpx_answer(httpx: Any, transport: InProcessTransport, request: Any, body: Any) -> tuple[Any, _HttpxBody]:
    """(the answer without a body, its body)"""
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers.raw]
    try:
        answer = transport.answer(request.method, _httpx_url(request), headers, body)
    except ConnectionError as reset:
        raise httpx.ReadError(str(reset), request=request) from reset
    if answer.error is not None:
        answer.close()
        raise answer.error
    sizes = [int(value) for name, value in answer.headers if name.lower() == "content-length"]
    left = sum(sizes) if request.method != "HEAD" and answer.status not in (204, 304) else 0
    made = {"status_code": answer.status, "headers": answer.headers, "extensions": {"http_version": b"HTTP/1.1"}}
    return made, _HttpxBody(httpx, answer, left)


def _httpx_handle(httpx: Any, find: Find, original: Any) -> Any:
    class Stream(httpx.SyncByteStream):  # type: ignore[misc]  # httpx is no dependency
        def __init__(self, body: _HttpxBody) -> None:
            self._body = body

        def __iter__(self) -> Iterator[bytes]:
            return iter(self._body)

        def close(self) -> None:
            self._body.answer.close()

    @functools.wraps(original)
    def handle_request(self: Any, request: Any) -> Any:
        transport = find(_httpx_url(request))
        if transport is None:
            return original(self, request)
        made, body = _httpx_answer(httpx, transport, request, _file_of(request.stream))
        return httpx.Response(**made, stream=Stream(body))

    return handle_request


def _httpx_handle_async(httpx: Any, find: Find, original: Any) -> Any:
    class Stream(httpx.AsyncByteStream):  # type: ignore[misc]  # httpx is no dependency
        def __init__(self, body: _HttpxBody) -> None:
            self._body = body

        async def __aiter__(self) -> AsyncIterator[bytes]:
            for chunk in self._body:
                yield chunk

        async def aclose(self) -> None:
            self._body.answer.close()

    @functools.wraps(original)
    async def handle_async_request(self: Any, request: Any) -> Any:
        transport = find(_httpx_url(request))
        if transport is None:
            return await original(self, request)
        with tempfile.SpooledTemporaryFile(_IN_MEMORY) as sent:
            async for chunk in request.stream:
                sent.write(chunk)
            sent.seek(0)
            made, body = _httpx_answer(httpx, transport, request, sent)
        return httpx.Response(**made, stream=Stream(body))

    return handle_async_request


def _aiohttp_connect(find: Find, original: Any) -> Any:
    async def connect(connector: Any, request: Any, *args: Any, **options: Any) -> Any:
        if find(str(request.url)) is not None:
            raise StoreError(
                "aiohttp cannot reach a store of this process without a socket: make the URL by a client of "
                "bleepstore_server.live_server(), or of the pytest fixture s3_server, or fetch it by httpx."
            )
        return await original(connector, request, *args, **options)

    return connect

"""The way of a request from botocore to the WSGI app and back, without a socket (see `in_process`)."""

from __future__ import annotations

import functools
import http.client
import io
import re
import sys
import time
from collections.abc import Callable, Iterable
from email.message import Message
from typing import TYPE_CHECKING, Any

import attrs

from bleepstore import Credential, Store
from bleepstore_server.app_config import WELL_KNOWN, AppConfig
from bleepstore_server.extras import needing
from bleepstore_server.wire.dates import http_date

with needing("server,aws"):
    from bleepstore_server.app import create_app
    from bleepstore_server.exchange import join_fields
    from bleepstore_server.layers.record import RecordedBytes, Recorder

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment
    from botocore.awsrequest import AWSPreparedRequest, AWSResponse
    from urllib3 import HTTPResponse

    from bleepstore_server.faults import Faults

_DEFAULT_PORT = {"http": ":80", "https": ":443"}

#: The URLs, without a path, of the live servers of this process.
live_urls: set[str] = set()


def is_live(url: str) -> bool:
    """Whether a request goes to a live server of this process, which has a store of its own."""
    return bool(live_urls) and "/".join(url.split("/", 3)[:3]) in live_urls


@functools.cache
def _amazon() -> re.Pattern[str]:
    """The hosts of Amazon S3, below which the first labels name a bucket: s3.amazonaws.com, s3.eu-west-1.amazonaws.com,
    s3-accelerate.amazonaws.com, s3.dualstack.eu-west-1.amazonaws.com and their like in botocore's other partitions."""
    from botocore.loaders import create_loader

    partitions = create_loader().load_data("partitions")["partitions"]
    outputs = [partition["outputs"] for partition in partitions]
    names = {output[name] for output in outputs for name in ("dnsSuffix", "dualStackDnsSuffix") if name in output}
    suffixes = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    return re.compile(rf"(?:[^:]+\.)??(s3[.-](?:[a-z0-9-]+\.)*(?:{suffixes}))", re.IGNORECASE)


def origin_of(url: str) -> str:
    """Scheme, host and port of a URL, in lower case and without a port that goes without saying."""
    scheme, _, rest = url.partition("://")
    host = rest.partition("/")[0].partition("?")[0].lower()
    return f"{scheme.lower()}://{host.removesuffix(_DEFAULT_PORT.get(scheme, ''))}"


@functools.lru_cache(256)
def _domain_of(host: str) -> str:
    """What names of buckets stand before in a host of Amazon S3; "" of others."""
    found = _amazon().fullmatch(host)
    return found[1].lower() if found else ""


def is_amazon(url: str) -> bool:
    """Whether a request goes to Amazon S3, in any partition."""
    host = url.partition("://")[2].partition("/")[0].partition("?")[0]
    return _amazon().fullmatch(host) is not None


# -- bodies


class _SentBody:
    """A request's body as the app reads it; what its source raises is kept, for the caller to see."""

    def __init__(self, source: Any) -> None:
        self._source = source
        self.error: Exception | None = None

    def read(self, size: int = -1) -> bytes:
        try:
            data: bytes = self._source.read(size)
        except Exception as error:
            self.error = error
            raise
        return data


class AnswerBody(io.RawIOBase):
    """The chunks of a WSGI answer as a file, closed with the answer.

    If they end before `size` it does what http.client does: to read all of it fails, to read a number of bytes gives
    fewer.
    """

    def __init__(self, chunks: Iterable[bytes], size: int) -> None:
        self._chunks = chunks
        self._left = size
        self._iterator = iter(chunks)
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            chunk = next(self._iterator, None)
            if chunk is None:
                return 0
            self._rest = memoryview(chunk)
        count = min(len(self._rest), len(buffer))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        self._left -= count
        return count

    def readall(self) -> bytes:
        data = super().readall() or b""
        if self._left > 0:
            raise http.client.IncompleteRead(data, self._left)
        return data

    def close(self) -> None:
        if not self.closed:
            _close(self._chunks)
        super().close()


class _WholeBody(io.BytesIO):
    """A body that has come whole: what botocore asks of urllib3's answer, which takes longer to make than to read."""

    def stream(self) -> Iterable[bytes]:
        return (self.read(),)


_find, _has, _get = dict.__getitem__, dict.__contains__, dict.get


class _Fields(dict[str, str]):
    """The fields of an answer, found whatever the case of their names. botocore's parsers look for each field that an
    operation may have, some fifty of them, by several calls each in its own mapping."""

    def __getitem__(self, name: str) -> str:
        return _find(self, name.lower())

    def __contains__(self, name: Any) -> bool:
        return _has(self, name.lower())

    def __setitem__(self, name: str, value: str) -> None:
        super().__setitem__(name.lower(), value)

    def __delitem__(self, name: str) -> None:
        super().__delitem__(name.lower())

    def get(self, name: str, default: Any = None) -> Any:
        return _get(self, name.lower(), default)


@functools.cache
def _botocore() -> tuple[Any, Any, Any]:
    """Its AWSResponse, ConnectionClosedError and HTTPClientError."""
    from botocore.awsrequest import AWSResponse
    from botocore.exceptions import ConnectionClosedError, HTTPClientError

    return AWSResponse, ConnectionClosedError, HTTPClientError


def _fields_of(request: AWSPreparedRequest) -> dict[str, str]:
    """The header fields that botocore would send, by their names in lower case."""
    fields: Any = request.headers
    if isinstance(fields, Message):
        return join_fields([(name, text_of_header(value)) for name, value in fields.raw_items()])
    # A mapping of botocore, which makes several objects for each field that it is asked for, and has each name once.
    return {
        name._lower: value.decode("latin-1") if value.__class__ is bytes else text_of_header(value)
        for name, value in fields._dict.items()
    }


_UNKNOWN_KEY, _MESSAGE_END = b"<Code>InvalidAccessKeyId</Code>", b"</Message>"
_KNOWN_KEYS = (
    f" A store in this process knows the pair {WELL_KNOWN[0]!r} and {WELL_KNOWN[1]!r} (unless it is given a "
    "configuration), the pair of its configuration, those of store.put_credential(access_key, secret_key), and, within "
    "in_process(accept_any_key=True), whatever key a client has."
).encode()


class InProcessAnswer:
    """What a WSGI app calls to begin its answer, and what came of it."""

    status = 500
    headers: list[tuple[str, str]]
    chunks: Iterable[bytes] = ()
    #: What the source of the request's body raised.
    error: Exception | None = None

    def __init__(self, now: Callable[[], float]) -> None:
        """`now` gives seconds."""
        self._now = now

    def start(self, status: str, headers: list[tuple[str, str]], _error: object = None) -> Callable[[bytes], object]:
        self.status = int(status[:3])
        self.headers = [*headers, ("Date", http_date(int(self._now()))), ("Server", "BleepStore")]
        return _no_write

    def close(self) -> None:
        """Release the body, which may be an open object."""
        _close(self.chunks)

    def explain(self) -> None:
        """Say what S3 cannot know: which keys there are. A test's keys are often made up for another tool."""
        if isinstance(self.chunks, list | RecordedBytes) and _UNKNOWN_KEY in (body := b"".join(self.chunks)):
            self.chunks = [body.replace(_MESSAGE_END, _KNOWN_KEYS + _MESSAGE_END, 1)]
            size = str(len(self.chunks[0]))
            self.headers = [(name, size if name == "Content-Length" else value) for name, value in self.headers]


def _no_write(_data: bytes) -> object:
    raise NotImplementedError("the app returns its body")


# -- the way of one request


def check_store(store: object) -> None:
    """Raise TypeError for a path and whatever else is no store."""
    if not isinstance(store, Store):
        raise TypeError(f"this takes a store, which bleepstore.open() gives, not {type(store).__name__}: {store!r}")


@attrs.define(eq=False)
class InProcessTransport:
    """The way into one store: the app for each host name that clients address it by."""

    store: Store
    config: AppConfig
    faults: Faults | None = None
    record: Recorder | None = None
    _apps: dict[str, WSGIApplication] = attrs.field(factory=dict, init=False)
    _credentials: dict[str, Credential] = attrs.field(factory=dict, init=False, repr=False)

    _check_open: Callable[[], None] = attrs.field(init=False, repr=False)
    #: Of answers, in seconds.
    _now: Callable[[], float] = attrs.field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        check_store(self.store)
        self._check_open = self.store.engine.catalog.check_usable
        wall_time_ms = self.store.wall_time_ms
        self._now = time.time if self.store.random_seed is None else lambda: wall_time_ms() / 1000

    def app(self, host: str) -> WSGIApplication:
        """The app that takes the bucket from the host name as Amazon S3 would."""
        domain = _domain_of(host)
        app = self._apps.get(domain)
        if app is None:
            domains = (*self.config.domains, domain) if domain else self.config.domains
            config = attrs.evolve(self.config, domains=domains)
            app = create_app(self.store, config, credentials=self._credentials, record=self.record)
            if self.faults is not None:
                app = self.faults.wrap(app, domains)
            self._apps[domain] = app
        return app

    def accept(self, access_key: str, secret_key: str) -> None:
        """Let an access key sign for the store's owner, unless the store or the configuration knows it otherwise."""
        self._credentials.setdefault(access_key, Credential(access_key, secret_key, self.store.owner))

    def answer(self, method: str, url: str, headers: Iterable[tuple[str, str]], body: Any = None) -> InProcessAnswer:
        """Carry out one request. Raises StoreClosed, and ConnectionResetError where a fault asks for it."""
        return self._answer(method, url, join_fields(headers), body)

    def _answer(self, method: str, url: str, fields: dict[str, str], body: Any) -> InProcessAnswer:
        """As `answer`, with header fields that are joined."""
        self._check_open()
        environ, host = _make_environ(method, url, fields)
        if body.__class__ is str:  # as botocore has a form
            body = body.encode()
        source: Any = io.BytesIO(body or b"") if not hasattr(body, "read") else _SentBody(body)
        environ["wsgi.input"] = source
        answer = InProcessAnswer(self._now)
        answer.chunks = self.app(host)(environ, answer.start)
        answer.error = getattr(source, "error", None)
        if answer.status == 403:
            answer.explain()
        return answer

    def request(self, method: str, url: str, headers: Iterable[tuple[str, str]], body: Any = None) -> HTTPResponse:
        """Carry out one request; the answer streams. Raises as `answer`."""
        return _as_urllib3(self.answer(method, url, headers, body), method)

    def send(self, request: AWSPreparedRequest) -> AWSResponse:
        """What botocore's HTTP session does, without HTTP. Raises what that would raise, and StoreClosed."""
        make_response, closed_error, client_error = _botocore()
        method, url = request.method or "GET", request.url or ""
        try:
            answer = self._answer(method, url, _fields_of(request), request.body)
            if answer.error is not None:
                _close(answer.chunks)
                raise client_error(error=answer.error) from answer.error
            chunks = answer.chunks
            if isinstance(chunks, list):
                raw: Any = _WholeBody(b"".join(chunks))
            elif request.stream_output:
                raw = _as_urllib3(answer, method)
            else:
                raw = _WholeBody(_read_whole(chunks))
        except ConnectionError as reset:
            raise closed_error(error=reset, request=request, endpoint_url=url) from reset
        response: AWSResponse = make_response(url, answer.status, {}, raw)
        found: Any = _Fields([(name.lower(), value) for name, value in answer.headers])  # S3 gives no field twice
        response.headers = found
        return response


def _as_urllib3(answer: InProcessAnswer, method: str) -> HTTPResponse:
    from urllib3 import HTTPHeaderDict, HTTPResponse

    chunks, headers = answer.chunks, HTTPHeaderDict(answer.headers)
    size = 0 if method == "HEAD" else int(headers.get("Content-Length", 0))
    return HTTPResponse(
        body=io.BytesIO(b"".join(chunks)) if isinstance(chunks, list) else AnswerBody(chunks, size),
        headers=headers,
        status=answer.status,
        preload_content=False,
        decode_content=False,
        enforce_content_length=False,
        request_method=method,
    )


def _close(chunks: Iterable[bytes]) -> None:
    close = getattr(chunks, "close", None)
    if close is not None:
        close()


def _read_whole(chunks: Iterable[bytes]) -> bytes:
    try:
        return b"".join(chunks)
    finally:
        _close(chunks)


def text_of_header(value: object) -> str:
    """A header's value as WSGI shows it: its bytes as Latin-1."""
    if isinstance(value, bytes):
        return value.decode("latin-1")
    text = str(value)
    return text if text.isascii() else text.encode().decode("latin-1")


def _make_environ(method: str, url: str, fields: dict[str, str]) -> tuple[WSGIEnvironment, str]:
    """(environ without a body, host without a port) of a request with these joined header fields."""
    scheme, _, rest = url.partition("://")
    host, _, target = rest.partition("/")
    if "?" in host:  # a URL without a path
        host, _, query = rest.partition("?")
        target = f"?{query}"
    target = f"/{target}"
    path, _, query = target.partition("?")
    if "host" not in fields:
        fields["host"] = host.removesuffix(_DEFAULT_PORT.get(scheme, ""))
    environ: WSGIEnvironment = {
        "REQUEST_METHOD": method,
        "RAW_URI": target,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "SERVER_NAME": host,
        "SERVER_PORT": "0",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": host,
        "CONTENT_LENGTH": fields.get("content-length", ""),
        "CONTENT_TYPE": fields.get("content-type", ""),
        "HTTP_TRANSFER_ENCODING": fields.get("transfer-encoding", ""),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scheme,
        "wsgi.errors": sys.stderr,
        "wsgi.input_terminated": True,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "bleepstore.headers": fields,
        # Whoever signs does so in this process, by the system's clock, also where the store has another.
        "bleepstore.signing_time": int(time.time()),
    }
    return environ, host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host

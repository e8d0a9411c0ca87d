"""boto3 without a socket: botocore's requests reach a store of this process.

One client, which nothing else shares:

    client = client_for(store)              # a new boto3 client
    attach(client, store)                   # one that exists

All S3 clients of the process, for the length of a block, also those that were made before it:

    with in_process() as store:
        boto3.client("s3").create_bucket(Bucket="photos")

A request goes from botocore's `before-send` event through the same WSGI app that serves HTTP: signatures, checksums,
conditions and XML are all real; only the socket is missing. Bodies stream in both directions. Services other than
S3 are left alone.

What speaks no botocore (requests, pyarrow, obstore, other languages) or speaks it asynchronously (aiobotocore, s3fs)
needs a socket: `bleepstore_server.live_server`.
"""

from __future__ import annotations

import contextlib
import functools
import io
import os
import re
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Mapping
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

import attrs

import bleepstore
from bleepstore import Store
from bleepstore.errors import StoreError
from bleepstore_server.app import create_app
from bleepstore_server.config import WELL_KNOWN, AppConfig

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment
    from botocore.awsrequest import AWSPreparedRequest, AWSResponse
    from mypy_boto3_s3 import S3Client
    from urllib3 import HTTPResponse

    from bleepstore_server.faults import Faults

#: The hosts of Amazon S3, below which the first labels name a bucket: s3.amazonaws.com, s3.eu-west-1.amazonaws.com,
#: s3-accelerate.amazonaws.com, s3.dualstack.eu-west-1.amazonaws.com and their like in other partitions.
_AMAZON = re.compile(r"(?:[^:]+\.)??(s3[.-](?:[a-z0-9-]+\.)*amazonaws\.com(?:\.cn)?)", re.IGNORECASE)
_DEFAULT_PORT = {"http": ":80", "https": ":443"}
_EVENT = "before-send.s3"
_NEEDS_A_SOCKET = (
    "An asynchronous client (aiobotocore, s3fs) cannot be served in this process: give it the URL of "
    "bleepstore_server.live_server.live_server(), or of the pytest fixture s3_server, as its endpoint_url."
)


def test_config() -> AppConfig:
    """The configuration that is used where none is given: the well-known key signs for the store's owner."""
    return AppConfig(allow_well_known_key=True)


test_config.__test__ = False  # type: ignore[attr-defined]  # pytest would collect it where it is imported


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


class _AnswerBody(io.RawIOBase):
    """The chunks of a WSGI answer as a file, closed with the answer."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = chunks
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
        return count

    def close(self) -> None:
        if not self.closed:
            close = getattr(self._chunks, "close", None)
            if close is not None:
                close()
        super().close()


class _Answer:
    """What a WSGI app calls to begin its answer."""

    status = 500
    headers: list[tuple[str, str]]

    def start(self, status: str, headers: list[tuple[str, str]], _error: object = None) -> Callable[[bytes], object]:
        self.status = int(status[:3])
        self.headers = [*headers, ("Date", formatdate(usegmt=True)), ("Server", "BleepStore")]
        return _no_write


def _no_write(_data: bytes) -> object:
    raise NotImplementedError("the app returns its body")


# -- the way of one request


@attrs.define(eq=False)
class Transport:
    """The way into one store: the app for each host name that clients address it by."""

    store: Store
    config: AppConfig
    faults: Faults | None = None
    _apps: dict[str, WSGIApplication] = attrs.field(factory=dict, init=False)

    def app(self, host: str) -> WSGIApplication:
        """The app that takes the bucket from the host name as Amazon S3 would."""
        found = _AMAZON.fullmatch(host)
        domain = found[1].lower() if found else ""
        app = self._apps.get(domain)
        if app is None:
            domains = (*self.config.domains, domain) if domain else self.config.domains
            app = create_app(self.store, attrs.evolve(self.config, domains=domains))
            if self.faults is not None:
                app = self.faults.wrap(app, domains)
            self._apps[domain] = app
        return app

    def request(
        self, method: str, url: str, headers: Iterable[tuple[str, str]], body: Any = None
    ) -> tuple[HTTPResponse, Exception | None]:
        """Carry out one HTTP request; the answer, and what the body's source raised.

        Raises StoreClosed, and ConnectionResetError where a fault asks for it.
        """
        from urllib3 import HTTPHeaderDict, HTTPResponse

        self.store.check_open()
        environ, host = _make_environ(method, url, headers)
        source: Any = io.BytesIO(body or b"") if not hasattr(body, "read") else _SentBody(body)
        environ["wsgi.input"] = source
        answer = _Answer()
        chunks = self.app(host)(environ, answer.start)
        plain = b"".join(chunks) if isinstance(chunks, list) else None
        response = HTTPResponse(
            body=io.BytesIO(plain) if plain is not None else _AnswerBody(chunks),
            headers=HTTPHeaderDict(answer.headers),
            status=answer.status,
            preload_content=False,
            decode_content=False,
            enforce_content_length=False,
            request_method=method,
        )
        return response, getattr(source, "error", None)

    def send(self, request: AWSPreparedRequest) -> AWSResponse:
        """What botocore's HTTP session does, without HTTP. Raises what that would raise, and StoreClosed."""
        from botocore.awsrequest import AWSResponse
        from botocore.exceptions import ConnectionClosedError, HTTPClientError

        headers = [(name, _text(value)) for name, value in request.headers.items()]
        try:
            raw, error = self.request(request.method or "GET", request.url or "", headers, request.body)
        except ConnectionError as reset:
            raise ConnectionClosedError(error=reset, request=request, endpoint_url=request.url) from reset
        if error is not None:
            raw.close()
            raise HTTPClientError(error=error) from error
        response = AWSResponse(request.url or "", raw.status, raw.headers, raw)  # type: ignore[arg-type]  # as botocore
        if not request.stream_output:
            try:
                _ = response.content
            except Exception as broken:
                raise ConnectionClosedError(error=broken, request=request, endpoint_url=request.url) from broken
        return response


def _text(value: object) -> str:
    """A header's value as WSGI shows it: its bytes as Latin-1."""
    if isinstance(value, bytes):
        return value.decode("latin-1")
    text = str(value)
    return text if text.isascii() else text.encode().decode("latin-1")


def _make_environ(method: str, url: str, headers: Iterable[tuple[str, str]]) -> tuple[WSGIEnvironment, str]:
    """(environ without a body, host without a port) of a request."""
    scheme, _, rest = url.partition("://")
    cut = min((place for place in (rest.find("/"), rest.find("?")) if place >= 0), default=len(rest))
    host, target = rest[:cut], rest[cut:]
    path, _, query = target.partition("?")
    fields = list(headers)
    names = {name.lower(): value for name, value in fields}
    if "host" not in names:
        fields.append(("Host", host.removesuffix(_DEFAULT_PORT.get(scheme, ""))))
    environ: WSGIEnvironment = {
        "REQUEST_METHOD": method,
        "RAW_URI": target if target.startswith("/") else "/" + target,
        "SCRIPT_NAME": "",
        "PATH_INFO": path or "/",
        "QUERY_STRING": query,
        "SERVER_NAME": host,
        "SERVER_PORT": "0",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": host,
        "CONTENT_LENGTH": names.get("content-length", ""),
        "CONTENT_TYPE": names.get("content-type", ""),
        "HTTP_TRANSFER_ENCODING": names.get("transfer-encoding", ""),
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


# -- one client


def attach(
    client: Any, store: Store, *, config: AppConfig | None = None, faults: Faults | None = None
) -> Callable[[], None]:
    """Send an S3 client's requests to `store` from now on; call what is returned to undo it.

    The store verifies the client's signatures: its access key must be one of the store (`Store.put_credential`), the
    one in `config`, or, without a `config`, the well-known pair `bleepstore` and `bleepstore-secret`.

    Raises StoreError for a client of another service or an asynchronous one.
    """
    service = client.meta.service_model.service_name
    if service != "s3":
        raise StoreError(f"A store answers S3; this is a client of {service}.")
    if any(kind.__module__.startswith("aiobotocore") for kind in type(client).__mro__):
        raise StoreError(_NEEDS_A_SOCKET)
    transport = Transport(store, config or test_config(), faults)
    attachment = _attachments.get(client)
    if attachment is None:
        attachment = _attachments[client] = _Attachment()
        client.meta.events.register_first(_EVENT, attachment)
    attachment.transports.append(transport)
    return functools.partial(attachment.remove, transport)


@attrs.define(eq=False)
class _Attachment:
    """The handler of one client's `before-send`. The last transport that was attached counts."""

    transports: list[Transport] = attrs.field(factory=list)

    def __call__(self, request: AWSPreparedRequest, **_event: object) -> AWSResponse | None:
        if not self.transports:
            return None
        # botocore asks all handlers; a block that the client was made in must not carry out the request once more.
        request.bleepstore_answered = True  # type: ignore[attr-defined]
        return self.transports[-1].send(request)

    def remove(self, transport: Transport) -> None:
        """Undo one `attach`; doing it twice is allowed."""
        self.transports = [known for known in self.transports if known is not transport]


_attachments: weakref.WeakKeyDictionary[Any, _Attachment] = weakref.WeakKeyDictionary()


_warm = threading.local()


def _new_session() -> Any:
    """A boto3 session with nothing of the user's, that shares what botocore read of its models with the others."""
    import boto3
    import botocore.session

    session = botocore.session.Session()
    loader = getattr(_warm, "loader", None)
    if loader is None:
        _warm.loader = session.get_component("data_loader")
    else:
        session.register_component("data_loader", loader)
    return boto3.Session(botocore_session=session)


def client_for(
    store: Store,
    *,
    access_key: str = WELL_KNOWN[0],
    secret_key: str = WELL_KNOWN[1],
    region: str = "us-east-1",
    config: AppConfig | None = None,
    faults: Faults | None = None,
    **options: Any,
) -> S3Client:
    """A new boto3 client of `store`, with any other option of `boto3.client`, such as botocore's `config` as
    `client_config`. Close it after use."""
    if "client_config" in options:
        options["config"] = options.pop("client_config")
    client: S3Client = _new_session().client(
        "s3", aws_access_key_id=access_key, aws_secret_access_key=secret_key, region_name=region, **options
    )
    attach(client, store, config=config, faults=faults)
    return client


def open_url(
    store: Store,
    url: str,
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    config: AppConfig | None = None,
) -> HTTPResponse:
    """Carry out one request, such as that of a presigned URL, without a socket. The answer streams: close it."""
    fields = dict(headers or {})
    if body is not None:
        fields.setdefault("Content-Length", str(len(body)))
    transport = Transport(store, config or test_config())
    return transport.request(method, url, [(name, _text(value)) for name, value in fields.items()], body)[0]


# -- all clients


class _Switchboard:
    """Where the requests of all clients go: to the innermost block that is open, or to the network if there is none.

    Sessions that are made within a block get an event handler. Clients of older sessions are met one step later, where
    botocore would open a connection. Both are taken back when the last block ends.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._blocks: list[_Block] = []
        self._environ: dict[str, str | None] = {}
        self._session_before: Any = None
        self._session_kept = False
        self._send: Any = None

    def __call__(self, request: AWSPreparedRequest, **_event: object) -> AWSResponse | None:
        """The handler of `before-send`, which sessions keep that were made within a block."""
        if getattr(request, "bleepstore_answered", False):
            return None
        # Nothing in the request tells an asynchronous client, but it is aiobotocore that calls its handlers.
        if "aiobotocore" in sys.modules and sys._getframe(1).f_globals["__name__"].startswith("aiobotocore"):
            raise StoreError(_NEEDS_A_SOCKET)
        blocks = self._blocks
        if blocks:
            return blocks[-1].transport.send(request)
        credential = b"Credential=" + WELL_KNOWN[0].encode() + b"/"
        signature = request.headers.get("Authorization") or b""
        signature = signature.encode() if isinstance(signature, str) else signature
        if credential in signature and ".amazonaws.com" in (request.url or ""):
            raise StoreError(
                "This client was made within an in_process() block that has ended: make it within the block that "
                "uses it, or bind it to its store by bleepstore_server.in_process.attach()."
            )
        return None

    def enter(self, block: _Block) -> None:
        with self._lock:
            others = {known.thread for known in self._blocks} - {block.thread}
            if others:
                raise StoreError(
                    "Another thread is in an in_process() block, which holds for the whole process: give each thread "
                    "clients of its own store by bleepstore_server.in_process.client_for()."
                )
            if not self._blocks:
                self._hook()
            self._blocks.append(block)
            self._set_surroundings()

    def leave(self, block: _Block) -> None:
        with self._lock:
            self._blocks.remove(block)
            self._set_surroundings()
            if not self._blocks:
                self._unhook()

    def _hook(self) -> None:
        from botocore.endpoint import Endpoint
        from botocore.handlers import BUILTIN_HANDLERS

        BUILTIN_HANDLERS.append((_EVENT, self))
        self._send = original = Endpoint._send  # type: ignore[attr-defined]  # not in botocore's stubs

        def send(endpoint: Any, request: AWSPreparedRequest) -> AWSResponse:
            blocks = self._blocks
            if blocks and endpoint._endpoint_prefix == "s3":
                return blocks[-1].transport.send(request)
            answer: AWSResponse = original(endpoint, request)
            return answer

        Endpoint._send = send  # type: ignore[attr-defined]

    def _unhook(self) -> None:
        from botocore.endpoint import Endpoint
        from botocore.handlers import BUILTIN_HANDLERS

        BUILTIN_HANDLERS.remove((_EVENT, self))
        Endpoint._send = self._send  # type: ignore[attr-defined]

    def _set_surroundings(self) -> None:
        """The environment and the default session of the innermost block, on top of what was before the first."""
        for name, value in self._environ.items():
            _set_variable(name, value)
        block = self._blocks[-1] if self._blocks else None
        wanted = {} if block is None or block.environ is None else block.environ
        self._environ = {name: os.environ.get(name) for name in wanted}
        for name, value in wanted.items():
            _set_variable(name, value)
        self._set_default_session(block)

    def _set_default_session(self, block: _Block | None) -> None:
        """boto3's default session remembers the credentials that it first found: a block has one of its own."""
        boto3: Any = sys.modules.get("boto3")
        if not self._session_kept:
            self._session_before = None if boto3 is None else boto3.DEFAULT_SESSION
            self._session_kept = True
        if boto3 is not None:
            if block is None or block.environ is None:
                boto3.DEFAULT_SESSION = self._session_before
            else:
                block.session = block.session or _new_session()
                boto3.DEFAULT_SESSION = block.session
        if block is None:
            self._session_before, self._session_kept = None, False


def _set_variable(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value


@attrs.define(eq=False)
class _Block:
    transport: Transport
    environ: dict[str, str | None] | None
    session: Any = None
    thread: int = attrs.field(factory=threading.get_ident)


_switchboard = _Switchboard()


def client_environ(access_key: str, secret_key: str, region: str, endpoint_url: str | None = None) -> dict[str, str]:
    """The environment variables that AWS SDKs read, for these keys."""
    environ = {
        "AWS_ACCESS_KEY_ID": access_key,
        "AWS_SECRET_ACCESS_KEY": secret_key,
        "AWS_DEFAULT_REGION": region,
        "AWS_REGION": region,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    if endpoint_url is not None:
        environ |= {"AWS_ENDPOINT_URL": endpoint_url, "AWS_ENDPOINT_URL_S3": endpoint_url}
    return environ


class in_process:
    """A `with` block in which every S3 client of this process reaches `store`, or a new one in memory.

    The block gives the store. Within it the environment has an access key that the store accepts, so that
    `boto3.client("s3")` just works; with `environment=False` it is left alone, and the keys of the clients must be
    known to the store. Blocks nest: the innermost counts. A store that was passed in stays open at the end.

    Raises StoreError on entry while another thread is in such a block.
    """

    def __init__(
        self,
        store: Store | None = None,
        *,
        config: AppConfig | None = None,
        faults: Faults | None = None,
        environment: bool = True,
    ) -> None:
        self._given = store
        self._config = config or test_config()
        self._faults = faults
        self._environment = environment
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Store:
        with contextlib.ExitStack() as stack:
            store = self._given
            if store is None:
                store = stack.enter_context(bleepstore.open())
            environ = self._wanted_environ() if self._environment else None
            block = _Block(Transport(store, self._config, self._faults), environ)
            _switchboard.enter(block)
            stack.callback(_switchboard.leave, block)
            self._stack = stack.pop_all()
        return store

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def _wanted_environ(self) -> dict[str, str | None]:
        config = self._config
        pair = (config.access_key, config.secret_key)
        if None in pair:
            if not config.allow_well_known_key:
                raise StoreError(
                    "This configuration has no access key for the environment: set access_key and secret_key, or "
                    "allow_well_known_key, or pass environment=False."
                )
            pair = WELL_KNOWN
        environ: dict[str, str | None] = dict(client_environ(str(pair[0]), str(pair[1]), config.region))
        return environ | dict.fromkeys(("AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN", "AWS_PROFILE"))

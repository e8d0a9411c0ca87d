"""boto3 without a socket: botocore's requests reach a store of this process.

One client, which nothing else shares:

    client = client_for(store)              # a new boto3 client
    attach(client, store)                   # one that exists

All S3 clients of the process, for the length of a block, also those that were made before it:

    with in_process() as store:
        boto3.client("s3").create_bucket(Bucket="photos")

A request goes from botocore's `before-send` event through the same WSGI app that serves HTTP: signatures, checksums,
conditions and XML are all real; only the socket is missing. Bodies stream in both directions. Services other than
S3 are left alone, and so is what goes to a `live_server` of this process: it has a store of its own.

requests, urllib3, urllib and httpx reach the store of a block by presigned URLs. What else speaks no botocore (pyarrow,
obstore, other languages) or speaks it asynchronously (aiobotocore, s3fs) needs a socket:
`bleepstore_server.live_server`.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import os
import sys
import threading
import weakref
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import attrs

import bleepstore
from bleepstore import Store
from bleepstore.errors import StoreError
from bleepstore_server.app_config import WELL_KNOWN, AppConfig
from bleepstore_server.decorating import decorate
from bleepstore_server.extras import needing
from bleepstore_server.intercept import Interception, Patches
from bleepstore_server.transport import Transport, check_store, is_amazon, is_live, origin_of, text_of_header

if TYPE_CHECKING:
    from botocore.awsrequest import AWSPreparedRequest, AWSResponse
    from mypy_boto3_s3 import S3Client
    from urllib3 import HTTPResponse

    from bleepstore_server.faults import Faults
    from bleepstore_server.layers.record import Recorder

_Target = TypeVar("_Target", bound=Callable[..., Any])

_EVENT = "before-send.s3"
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_USER_AGENT = "bleepstore-in-process"
_NEEDS_A_SOCKET = (
    "An asynchronous client (aiobotocore, s3fs) cannot be served in this process: give it the URL of "
    "bleepstore_server.live_server.live_server(), or of the pytest fixture s3_server, as its endpoint_url."
)


def test_config() -> AppConfig:
    """The configuration that is used where none is given: the well-known key signs for the store's owner."""
    return AppConfig(allow_well_known_key=True)


test_config.__test__ = False  # type: ignore[attr-defined]  # pytest would collect it where it is imported


# -- one client


def attach(
    client: Any, store: Store, *, config: AppConfig | None = None, faults: Faults | None = None
) -> Callable[[], None]:
    """Send an S3 client's requests to `store` from now on; call what is returned to undo it.

    The store verifies the client's signatures: its access key must be one of the store (`Store.put_credential`), the
    one in `config`, or, without a `config`, the well-known pair `bleepstore` and `bleepstore-secret`.

    Raises StoreError for a client of another service or an asynchronous one, TypeError for what is neither.
    """
    if not hasattr(getattr(client, "meta", None), "service_model"):
        hint = "attach(resource.meta.client, store)" if hasattr(client, "meta") else 'boto3.client("s3") makes one'
        raise TypeError(f"attach() takes a boto3 client, not {type(client).__name__}: {hint}")
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
    """A boto3 session that shares what botocore read of its models with the others. It reads no file of the user's:
    a profile with another endpoint or style of addressing must not change what a test does.

    botocore puts the name of its user agent together anew for every request and parses dates of any form, which are a
    fifth of the time of a small request. Nobody asks here for the one, and there is one form of the other.
    """
    with needing("server,aws"):
        import boto3
        import botocore.session
        from botocore.config import Config

    nothing: dict[str, Any] = dict.fromkeys(("config_file", "credentials_file"), (None, None, os.devnull, None))
    nothing["profile"] = (None, None, None, None)
    session = botocore.session.Session(session_vars=nothing)
    loader = getattr(_warm, "loader", None)
    if loader is None:
        _warm.loader = session.get_component("data_loader")
    else:
        session.register_component("data_loader", loader)
    session.set_default_client_config(Config(user_agent=_USER_AGENT))
    session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=_parse_timestamp)
    return boto3.Session(botocore_session=session)


@functools.cache
def _late_session_class() -> Any:
    import boto3

    class LateSession(boto3.Session):
        """A session that is made when somebody asks it for something. That takes as long as many requests, and most
        blocks have clients that were made of another."""

        def __init__(self) -> None:
            """Nothing yet."""

        def __getattr__(self, name: str) -> Any:
            if "_session" in self.__dict__ or (name.startswith("__") and name.endswith("__")):
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            vars(self).update(vars(_new_session()))
            return getattr(self, name)

    return LateSession


def _parse_timestamp(value: Any) -> Any:
    """As botocore does it; the form of header fields ("Tue, 24 Nov 2026 07:30:00 GMT") by a shorter way."""
    from botocore.utils import parse_timestamp
    from dateutil.tz import tzutc  # type: ignore[import-untyped]

    if isinstance(value, str) and len(value) == 29 and value[8:11] in _MONTHS and value.endswith(" GMT"):
        with contextlib.suppress(ValueError):  # botocore has an error of its own for it
            time = int(value[17:19]), int(value[20:22]), int(value[23:25])
            return dt.datetime(
                int(value[12:16]), _MONTHS.index(value[8:11]) + 1, int(value[5:7]), *time, tzinfo=tzutc()
            )
    return parse_timestamp(value)


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
    check_store(store)
    with needing("server,aws"):
        from botocore.config import Config

    given = options.pop("client_config", None)
    # AWS_ENDPOINT_URL is where other clients go.
    alone = Config(ignore_configured_endpoint_urls=True)  # type: ignore[call-arg]  # not in the stubs
    options["config"] = alone if given is None else alone.merge(given)
    session = getattr(_warm, "session", None)
    if session is None:
        session = _warm.session = _new_session()
    client: S3Client = session.client(
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
    return transport.request(method, url, [(name, text_of_header(value)) for name, value in fields.items()], body)


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
        self._patches = Patches()
        self._interception = Interception(self._find)

    def __call__(self, request: AWSPreparedRequest, **_event: object) -> AWSResponse | None:
        """The handler of `before-send`, which sessions keep that were made within a block."""
        if getattr(request, "bleepstore_answered", False) or is_live(request.url or ""):
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
        if credential in signature and is_amazon(request.url or ""):
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
        with needing("server,aws"):
            from botocore.endpoint import Endpoint
            from botocore.handlers import BUILTIN_HANDLERS

        BUILTIN_HANDLERS.append((_EVENT, self))
        original = Endpoint._send  # type: ignore[attr-defined]  # not in botocore's stubs

        def send(endpoint: Any, request: AWSPreparedRequest) -> AWSResponse:
            blocks = self._blocks
            if blocks and endpoint._endpoint_prefix == "s3" and not is_live(request.url or ""):
                return blocks[-1].transport.send(request)
            answer: AWSResponse = original(endpoint, request)
            return answer

        self._patches.replace(Endpoint, "_send", send)
        self._hook_signers()
        self._interception.start()
        if "aiobotocore.endpoint" in sys.modules:
            self._refuse_asynchronous(sys.modules["aiobotocore.endpoint"].AioEndpoint)

    def _refuse_asynchronous(self, endpoint_class: Any) -> None:
        original = endpoint_class._send

        async def send(endpoint: Any, request: AWSPreparedRequest) -> Any:
            if self._blocks and endpoint._endpoint_prefix == "s3" and not is_live(request.url or ""):
                raise StoreError(_NEEDS_A_SOCKET)
            return await original(endpoint, request)

        self._patches.replace(endpoint_class, "_send", send)

    def _hook_signers(self) -> None:
        """Where a client signs it is seen which key it has, and for which host it makes a URL."""
        from botocore.credentials import Credentials
        from botocore.signers import RequestSigner, S3PostPresigner

        get_auth, presign = RequestSigner.get_auth_instance, RequestSigner.generate_presigned_url
        post = S3PostPresigner.generate_presigned_post

        @functools.wraps(get_auth)
        def get_auth_instance(signer: Any, signing_name: str, *args: Any, **options: Any) -> Any:
            block = self._blocks[-1] if self._blocks else None
            if block is not None and block.accepts_any_key and signing_name == "s3":
                credentials = options.get("request_credentials") or signer._credentials
                if credentials is None:  # it was made where the environment had no key yet
                    credentials = options["request_credentials"] = Credentials(*block.pair)
                frozen = credentials.get_frozen_credentials()
                block.transport.accept(frozen.access_key, frozen.secret_key)
            return get_auth(signer, signing_name, *args, **options)

        @functools.wraps(presign)
        def generate_presigned_url(signer: Any, *args: Any, **options: Any) -> Any:
            made = presign(signer, *args, **options)
            self._note_host(signer, made)
            return made

        @functools.wraps(post)
        def generate_presigned_post(presigner: Any, *args: Any, **options: Any) -> Any:
            made = post(presigner, *args, **options)
            self._note_host(presigner._request_signer, str(made["url"]))
            return made

        self._patches.replace(RequestSigner, "get_auth_instance", get_auth_instance)
        self._patches.replace(RequestSigner, "generate_presigned_url", generate_presigned_url)
        self._patches.replace(S3PostPresigner, "generate_presigned_post", generate_presigned_post)

    def _note_host(self, signer: Any, url: str) -> None:
        if self._blocks and signer._signing_name == "s3":
            self._blocks[-1].origins.add(origin_of(url))

    def _find(self, url: str) -> Transport | None:
        """The way into the innermost block for a request that no S3 client makes: to Amazon S3, or to a host that a
        client of an open block has presigned for."""
        blocks = self._blocks
        if not blocks or is_live(url):
            return None
        origin = origin_of(url)
        if is_amazon(origin) or any(origin in block.origins for block in blocks):
            return blocks[-1].transport
        return None

    def _unhook(self) -> None:
        from botocore.handlers import BUILTIN_HANDLERS

        BUILTIN_HANDLERS.remove((_EVENT, self))
        self._interception.stop()
        self._patches.undo()

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
                block.session = block.session or _late_session_class()()
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
    accepts_any_key: bool = False
    #: What a client without a key signs by, if any is accepted.
    pair: tuple[str, str] = WELL_KNOWN
    #: Scheme and host of what clients have presigned for.
    origins: set[str] = attrs.field(factory=set)
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

    As a decorator, `@in_process()`, it is such a block around each call of a function, a coroutine or a generator (a
    fixture that yields), and around each test of a class, unittest's or pytest's, with its set-up and teardown; with a
    new store for each. `start()` gives the store and `stop()` ends the block where there is no `with`.

    The block gives the store. Within it the environment has an access key that the store accepts, so that
    `boto3.client("s3")` just works; with `environment=False` it is left alone, and the keys of the clients must be
    known to the store. With `accept_any_key=True` the store accepts whatever key the clients of this process have: the
    block sees the secret when they sign, so that signatures, expiry and digests are verified as ever.

    What requests, urllib3, urllib and httpx send to Amazon S3, or to a host for which a client presigned a URL within
    the block, reaches the store too. Blocks nest: the innermost counts. A store that was passed in stays open.
    `record` is called with a `Record` for each request (see `create_app`).

    Raises StoreError on entry while another thread is in such a block.
    """

    def __init__(
        self,
        store: Store | None = None,
        *,
        config: AppConfig | None = None,
        faults: Faults | None = None,
        record: Recorder | None = None,
        environment: bool = True,
        accept_any_key: bool = False,
    ) -> None:
        if callable(store):
            raise TypeError("write @in_process() with parentheses")
        self._given = store
        self._config = config or test_config()
        self._faults = faults
        self._record = record
        self._environment = environment
        self._accept_any_key = accept_any_key
        self._entered: list[contextlib.ExitStack] = []

    def __call__(self, target: _Target) -> _Target:
        return decorate(target, self._again)

    def _again(self) -> in_process:
        """A block with the same options: calls may overlap, as those of coroutines do, and end in any order."""
        return in_process(
            self._given,
            config=self._config,
            faults=self._faults,
            record=self._record,
            environment=self._environment,
            accept_any_key=self._accept_any_key,
        )

    def __enter__(self) -> Store:
        with contextlib.ExitStack() as stack:
            store = self._given
            if store is None:
                store = stack.enter_context(bleepstore.open())
            environ = self._wanted_environ() if self._environment else None
            pair = self._pair() or WELL_KNOWN
            transport = Transport(store, self._config, self._faults, self._record)
            block = _Block(transport, environ, self._accept_any_key, pair)
            _switchboard.enter(block)
            stack.callback(_switchboard.leave, block)
            self._entered.append(stack.pop_all())
        return store

    def __exit__(self, *error: object) -> None:
        self._entered.pop().close()

    def start(self) -> Store:
        """Begin the block, where no `with` can be written; `stop` must follow."""
        return self.__enter__()

    def stop(self) -> None:
        """End the block that `start` began. Raises StoreError if there is none."""
        if not self._entered:
            raise StoreError("stop() without start(): this in_process() block has not begun, or has ended.")
        self.__exit__()

    def _pair(self) -> tuple[str, str] | None:
        config = self._config
        if config.access_key is not None and config.secret_key is not None:
            return config.access_key, config.secret_key
        return WELL_KNOWN if config.allow_well_known_key else None

    def _wanted_environ(self) -> dict[str, str | None]:
        pair = self._pair()
        if pair is None:
            raise StoreError(
                "This configuration has no access key for the environment: set access_key and secret_key, or "
                "allow_well_known_key, or pass environment=False."
            )
        environ: dict[str, str | None] = dict(client_environ(*pair, self._config.region))
        return environ | dict.fromkeys(("AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN", "AWS_PROFILE"))

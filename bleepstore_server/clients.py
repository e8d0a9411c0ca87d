"""A boto3 client that reaches a store of this process: a new one, or one that exists (see `blocks` for all of them)."""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import os
import threading
import weakref
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import attrs

from bleepstore import Store
from bleepstore.errors import StoreError
from bleepstore_server.app_config import WELL_KNOWN, AppConfig
from bleepstore_server.extras import needing
from bleepstore_server.transport import InProcessTransport, check_store, text_of_header

if TYPE_CHECKING:
    from botocore.awsrequest import AWSPreparedRequest, AWSResponse
    from mypy_boto3_s3 import S3Client
    from urllib3 import HTTPResponse

    from bleepstore_server.faults import Faults


EVENT = "before-send.s3"
#: Those that a store answers, as botocore names them.
SERVICES = ("s3", "sts")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_USER_AGENT = "bleepstore-in-process"
NEEDS_A_SOCKET = (
    "An asynchronous client (aiobotocore, s3fs) cannot be served in this process: give it the URL of "
    "bleepstore_server.live_server(), or of the pytest fixture s3_server, as its endpoint_url."
)


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


def test_config() -> AppConfig:
    """The configuration that is used where none is given: the well-known key signs for the store's owner."""
    return AppConfig(allow_well_known_key=True, report_encryption=True, customer_keys_over_http=True)


test_config.__test__ = False  # type: ignore[attr-defined]  # pytest would collect it where it is imported


def attach(
    client: Any, store: Store, *, config: AppConfig | None = None, faults: Faults | None = None
) -> Callable[[], None]:
    """Send the requests of a client of S3 or STS to `store` from now on; call what is returned to undo it.

    The store verifies the client's signatures: its access key must be one of the store (`Store.put_credential`), the
    one in `config`, or, without a `config`, the well-known pair `bleepstore` and `bleepstore-secret`.

    Raises StoreError for a client of another service or an asynchronous one, TypeError for what is neither.
    """
    if not hasattr(getattr(client, "meta", None), "service_model"):
        hint = "attach(resource.meta.client, store)" if hasattr(client, "meta") else 'boto3.client("s3") makes one'
        raise TypeError(f"attach() takes a boto3 client, not {type(client).__name__}: {hint}")
    service = client.meta.service_model.service_name
    if service not in SERVICES:
        raise StoreError(f"A store answers S3 and STS; this is a client of {service}.")
    if any(kind.__module__.startswith("aiobotocore") for kind in type(client).__mro__):
        raise StoreError(NEEDS_A_SOCKET)
    transport = InProcessTransport(store, config or test_config(), faults)
    attachment = _attachments.get(client)
    if attachment is None:
        attachment = _attachments[client] = _Attachment()
        client.meta.events.register_first(f"before-send.{service}", attachment)
    attachment.transports.append(transport)
    return functools.partial(attachment.remove, transport)


@attrs.define(eq=False)
class _Attachment:
    """The handler of one client's `before-send`. The last transport that was attached counts."""

    transports: list[InProcessTransport] = attrs.field(factory=list)

    def __call__(self, request: AWSPreparedRequest, **_event: object) -> AWSResponse | None:
        if not self.transports:
            return None
        # botocore asks all handlers; a block that the client was made in must not carry out the request once more.
        request.bleepstore_answered = True  # type: ignore[attr-defined]
        return self.transports[-1].send(request)

    def remove(self, transport: InProcessTransport) -> None:
        """Undo one `attach`; doing it twice is allowed."""
        self.transports = [known for known in self.transports if known is not transport]


_attachments: weakref.WeakKeyDictionary[Any, _Attachment] = weakref.WeakKeyDictionary()


_warm = threading.local()


def _new_session() -> Any:
    """A boto3 session that shares what botocore read of its models with the others. It reads no file of the user's:
    a profile with another endpoint or style of addressing must not change what a test does.

    botocore puts the name of its user agent together anew for every request and parses dates of any form, which are a
    fifth of the time of a small request. Nobody asks here for the one, and there is one form of the other. It also
    makes a parser for each answer, which keeps nothing of one: here it is made once.
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
    parsers = session.get_component("response_parser_factory")
    parsers.set_parser_defaults(timestamp_parser=read_timestamp)
    parsers.create_parser = functools.cache(parsers.create_parser)
    return boto3.Session(botocore_session=session)


@functools.cache
def late_session_class() -> Any:
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


@functools.lru_cache(1024, typed=True)  # an object that is read again, or was written in the same second
def read_timestamp(value: Any) -> Any:
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
    transport = InProcessTransport(store, config or test_config())
    return transport.request(method, url, [(name, text_of_header(value)) for name, value in fields.items()], body)

"""One request and its answer, from the first byte to the last: its head, parsed once at the edge, and what each layer
finds out."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import quote, unquote, unquote_plus

import attrs

from bleepstore.access import ANONYMOUS, Action, Caller, LiveSession
from bleepstore.encryption import CustomerKey, Encryption, EncryptionRequest
from bleepstore.errors import S3Error, UnresolvableGrantByEmailAddress
from bleepstore.model import Credential, DeletedObject
from bleepstore.ownership import Payer
from bleepstore.rates import RateLimit
from bleepstore.store import DeleteFailure, Store
from bleepstore.store.bodies import Expected, stage
from bleepstore_server.app_config import AppConfig
from bleepstore_server.rates import RateMeter
from bleepstore_server.wire import bodies, encryption, headers, regions
from bleepstore_server.wire.bodies import SentBody
from bleepstore_server.wire.documents.text import encode_url
from bleepstore_server.wire.errors import RequestError
from bleepstore_server.wire.targets import is_host, parse_url

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


#: Who asks says by this header that it pays, where the bucket asks for that.
PAYER, REQUESTER = "x-amz-request-payer", "requester"
#: In the environ of a request that is followed (`bleepstore_server.traces`): its trace, and its span if it is recorded.
TRACE_ID, SPAN = "bleepstore.trace_id", "bleepstore.span"
_MAX_OWNER_ID = 128
#: Fields that say of the body what nobody knew when a URL was signed.
_OF_THE_BODY = frozenset({"x-amz-content-sha256", "x-amz-decoded-content-length", "x-amz-sdk-checksum-algorithm",
                          "x-amz-trailer"})  # fmt: skip


@attrs.define(kw_only=True)
class Request(SentBody):
    """What the operations ask of a request. Header names are in lower case; `query` has decoded values ("" if none).

    `headers` are those that were sent, and once the signature of a URL is verified also those that it covers.
    """

    query: dict[str, str]
    bucket: str | None
    key: str | None
    virtual_host: bool
    scheme: str
    host: str

    def header(self, name: str) -> str | None:
        """The value of a header as text: UTF-8 where it is, else Latin-1."""
        value = self.headers.get(name)
        return value if value is None or value.isascii() else headers.decode_header(value)

    def add_fields(self, from_query: Mapping[str, str]) -> None:
        """Take note of the header fields that the signature of a URL covers in its query.

        Not so the checksums, the names of trailers and the algorithm of the SDK there: SDKs put the CRC32 of an empty
        body into a URL, for they do not know the body when they sign. A field that is sent as a header counts as sent.
        """
        self.headers = dict(self.headers)
        for name, value in from_query.items():
            if name not in _OF_THE_BODY and name not in bodies.FIELDS:
                self.headers.setdefault(name, value.encode("utf-8", "surrogateescape").decode("latin-1"))

    def refuse_repeated_parameters(self) -> None:
        """In a signed URL each parameter is there once, however it is written: one that is checked is the one used."""
        if len({*map(str.lower, self.query)}) == len(self.raw_query):
            return
        seen = set()
        for raw, _value in self.raw_query:
            name = _decode(raw, unquote_plus).lower()
            if name in seen:
                raise RequestError(
                    "InvalidArgument",
                    f"The query parameter {name} is given more than once.",
                    fields={"ArgumentName": name},
                )
            seen.add(name)

    @property
    def resource(self) -> str:
        """What error documents call the resource."""
        return unquote(self.raw_path)


#: Stands for a request that could not be read.
UNPARSED = Request(
    method="", raw_path="", raw_query=(), headers={}, query={}, bucket=None, key=None, virtual_host=False, scheme="",
    host="", environ={},
)  # fmt: skip


@attrs.define(eq=False)
class Exchange:
    """One request and its answer. It is made once and goes through the layers (`bleepstore_server.layers`), each of
    which adds what it finds out; an operation gets it when it is known who asks and that they may."""

    store: Store
    config: AppConfig
    #: A configured access key, or one of the store.
    find_credential: Callable[[str], Credential | None]
    #: What finds who signs with the token of a session, and otherwise nobody.
    find_signer: Callable[[str], Callable[[str], Credential | LiveSession | None]]
    environ: WSGIEnvironment = attrs.field(repr=False)
    request_id: str
    #: What counts the requests of keys that have a rate.
    meter: RateMeter
    #: What answers about objects that are not encrypted say of that: nothing, or what S3 says of every object.
    unencrypted: Sequence[tuple[str, str]] = ()
    #: Nanoseconds of time.monotonic_ns().
    started: int = attrs.field(factory=time.monotonic_ns)
    request: Request = UNPARSED
    #: What the request names; "" where it names none.
    bucket: str = ""
    key: str = ""
    version_id: str | None = None
    operation: str | None = None
    sub_resource: str | None = None
    #: None: nothing that is implemented.
    action: Action | None = None
    #: ANONYMOUS, until it is known.
    caller: Caller = ANONYMOUS
    #: In which the request was counted.
    rate_limits: Sequence[RateLimit] = ()
    status: int = 0
    error_code: str | None = None
    #: Bytes of a refused body that were read all the same, beside those that the request counts.
    drained: int = 0
    #: What the access logs of buckets tell, too: the source of a copy, bytes of the object, and what became of each of
    #: the keys that are deleted at once.
    source: headers.CopySource | None = None
    object_size: int | None = None
    deleted: Sequence[DeletedObject | DeleteFailure] = ()
    #: Those of a form, which speaks instead of the headers.
    fields: Mapping[str, str] | None = None

    def document(self, *, checksum_is_its_own: bool = True, needs_digest: bool = False) -> bytes:
        """The XML body, once its digests are verified as those of an object are. The checksum that is sent with a
        CompleteMultipartUpload is not of its body. One that `needs_digest` is refused without any."""
        request = self.request
        if needs_digest and not (
            "content-md5" in request.headers or bodies.sent_checksum(request.headers) or request.trailer_names
        ):
            raise RequestError("InvalidRequest", "Missing required header for this request: Content-MD5")
        body = request.document()
        checksum = None
        if checksum_is_its_own:
            checksum = bodies.sent_checksum(request.headers)
            # One that contradicts is refused, as for an object.
            bodies.announced_algorithm(request.headers, request.trailer_names, checksum)
            checksum = checksum or request.late_checksum()
        content_md5 = request.headers.get("content-md5")
        if content_md5 is None and checksum is None:
            return body
        expected = Expected(content_md5=content_md5, checksum=checksum, max_size=len(body))
        stage(body, expected, () if checksum is None else (checksum.algorithm,), len(body), _never)
        return body

    # -- encryption

    @property
    def is_private(self) -> bool:
        """Whether the request came on a way on which nobody can read a key that it brings, or need not."""
        config = self.config
        return self.request.scheme == "https" or config.customer_keys_over_http or self.store.in_memory

    def asked_encryption(self, fields: Mapping[str, str]) -> EncryptionRequest | None:
        """What the headers, or the fields of a form, ask for an object that is made."""
        if encryption.FIELDS.isdisjoint(fields):
            return None
        return encryption.asked_encryption(fields, is_private=self.is_private)

    def customer_key(self) -> CustomerKey | None:
        """The key of the caller's that the request brings for an object or an upload."""
        headers = self.request.headers
        if encryption.CUSTOMER_FIELDS.isdisjoint(headers):
            return None
        return encryption.customer_key(headers, is_private=self.is_private)

    def source_customer_key(self) -> CustomerKey | None:
        """And for the source of a copy."""
        headers = self.request.headers
        if encryption.SOURCE_FIELDS.isdisjoint(headers):
            return None
        return encryption.source_customer_key(headers, is_private=self.is_private)

    def encryption_headers(
        self, shown: Encryption | None, fields: Mapping[str, str] | None = None, *, with_context: bool = False
    ) -> Sequence[tuple[str, str]]:
        """What the answer says of an object that is encrypted like this. For the others see
        `bleepstore_server.wire.encryption`."""
        if shown is None:
            return self.unencrypted
        given = self.request.headers if fields is None else fields
        return encryption.encryption_headers(shown, given, self.config.region, with_context=with_context)

    def find_by_email(self, email: str) -> str:
        owner = self.store.owner_by_email(email)
        if owner is None:
            raise UnresolvableGrantByEmailAddress(email)
        return owner.id

    def check_owner_id(self, owner_id: str, argument: str = "CanonicalUser/ID") -> None:
        if self.store.find_owner(owner_id) is None:
            raise RequestError(
                "InvalidArgument", "Invalid id", fields={"ArgumentName": argument, "ArgumentValue": owner_id}
            )

    def check_source_owner(self, source: headers.CopySource) -> None:
        """Refuse a copy whose source is not owned by whom the request expects; only who may read it learns that."""
        name = "x-amz-source-expected-bucket-owner"
        if name in self.request.headers:
            self.store.check_access(
                Action.GET_OBJECT, source.bucket, source.key, version_id=source.version_id, caller=self.caller
            )
            self.check_bucket_owner(source.bucket, name)

    def check_bucket_owner(self, bucket: str, header: str) -> None:
        expected = self.request.headers.get(header)
        if expected is None:
            return
        if not expected or len(expected) > _MAX_OWNER_ID or " " in expected or not expected.isprintable():
            raise RequestError(
                "InvalidBucketOwnerAWSAccountID",
                "The value of the expected bucket owner parameter must be an AWS Account ID...",
            )
        if self.store.get_bucket(bucket).owner.id != expected:
            raise RequestError("AccessDenied")  # in the words of any other refusal, which tell nothing of the owner

    def is_charged(self) -> bool:
        """Whether it is the caller who pays for what was done."""
        try:
            found = self.store.get_bucket(self.bucket)
        except S3Error:  # there is none, or none any more
            return False
        is_asked = found.settings.payer is Payer.REQUESTER and self.caller.account.id != found.owner.id
        return is_asked and self.caller.pays is True

    def check_access(self, *, is_preliminary: bool = False) -> None:
        """Refuse a caller who may not do this; raise what there must be and is not. For `is_preliminary` see the
        store."""
        request = self.request
        assert self.action is not None
        self.store.check_access(
            self.action,
            self.bucket,
            self.key,
            version_id=self.version_id,
            upload_id=request.query.get("uploadId"),
            is_preliminary=is_preliminary,
            caller=self.caller,
        )

    def allows(self, action: Action) -> bool:
        """Whether the caller may do this too, with what the request names."""
        try:
            self.store.check_access(action, self.bucket, self.key, version_id=self.version_id, caller=self.caller)
        except S3Error:
            return False
        return True

    def region_headers(self) -> list[tuple[str, str]]:
        """The region of the bucket, if there is one, whoever asks."""
        bucket = self.store.engine.catalog.find_bucket(self.bucket)
        if bucket is None:
            return []
        return [("x-amz-bucket-region", regions.region_of(bucket.location, self.config.region))]

    def url_of(self, key: str) -> str:
        """The URL of a key in the bucket of the request, as answers show it."""
        request = self.request
        base = f"{request.scheme}://{request.host}"
        if self.config.public_endpoint:
            base = self.config.public_endpoint.rstrip("/")
        path = "" if request.virtual_host else f"/{self.bucket}"
        return f"{base}{path}/{encode_url(key)}"


def _never(*_: object) -> NoReturn:
    raise AssertionError("a document is held in memory")


# -- the head of a request


def read_url(environ: WSGIEnvironment) -> None:
    """Make a request whose target is a URL one whose target is a path and whose Host is the URL's, for a server that
    leaves that to the app. Raises RequestError."""
    name = "RAW_URI" if environ.get("RAW_URI") else "REQUEST_URI"
    target = environ.get(name) or "/"
    url = None if target[0] == "/" else parse_url(target)
    if url is None:
        return
    if not is_host(url.host):
        raise RequestError("BadRequest", _NO_HOST)
    environ[name] = url.path
    fields = environ.get("bleepstore.headers")
    sent = environ.get("HTTP_HOST") if fields is None else fields.get("host")
    host = url.host_that_counts(sent, int(environ.get("SERVER_PROTOCOL") == "HTTP/1.1"))
    if host is not None:
        set_host(environ, host)


def set_host(environ: WSGIEnvironment, host: str) -> None:
    """Have the request say that it came to `host`."""
    environ["HTTP_HOST"] = host
    fields = environ.get("bleepstore.headers")
    if fields is not None:
        environ["bleepstore.headers"] = {**fields, "host": host}


def _rebuilt_target(environ: WSGIEnvironment) -> str:
    """The path and query of a request whose target is a URL or none. Servers that do not keep it give the decoded path,
    which is encoded again."""
    read_url(environ)
    target: str = environ.get("RAW_URI") or environ.get("REQUEST_URI") or ""
    if target:
        return target if target[0] == "/" else "/" + target
    path = quote((environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")).encode("latin-1"), safe="/-_.~")
    return f"{path}?{environ.get('QUERY_STRING', '')}"


def _blurred_headers(environ: WSGIEnvironment) -> Iterator[tuple[str, str]]:
    """The header fields of a server that does not keep them as they were sent: WSGI blurs "_" and "-"."""
    for name, value in environ.items():
        if name.startswith("HTTP_"):
            yield name[5:].replace("_", "-"), value
    for name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if environ.get(name):
            yield name.replace("_", "-"), environ[name]


def join_fields(sent: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Header fields by their names in lower case, the values of a repeated one joined by commas (RFC 9110 section
    5.3)."""
    lines = [(name.lower(), value) for name, value in sent]
    fields = dict(lines)
    if len(fields) < len(lines):
        fields = {}
        for name, value in lines:
            trimmed = value.strip(" \t")  # what Unicode counts as spaces are bytes of a value here
            fields[name] = f"{fields[name]},{trimmed}" if name in fields else trimmed
    return fields


_BAD_ESCAPE = re.compile("%(?![0-9A-Fa-f]{2})")


def _decode(text: str, decode: Callable[..., str]) -> str:
    if _BAD_ESCAPE.search(text):
        raise RequestError("InvalidURI", "The request target has a % that two hexadecimal digits do not follow.")
    try:
        return decode(text, errors="strict")
    except UnicodeError:
        raise RequestError("InvalidURI", "The request target is not percent-encoded UTF-8.") from None


def _locate(path: str, host: str, domains: Sequence[str]) -> tuple[str | None, str | None, bool]:
    """(bucket, key, whether the host names the bucket)."""
    name = host.rsplit(":", 1)[0].lower() if domains else ""
    for domain in domains:
        if name.endswith("." + domain):
            key = path[1:]
            return name[: -len(domain) - 1], (_decode(key, unquote) if "%" in key else key) or None, True
    bucket, _, key = path[1:].partition("/")
    if "%" in path:
        bucket, key = _decode(bucket, unquote), _decode(key, unquote)
    return bucket or None, key or None, False


_NO_HOST = "The request needs one Host header with the name of this server."


def _check_framing(environ: WSGIEnvironment, headers: Mapping[str, str], host: str) -> None:
    """Refuse what RFC 9112 has every server refuse, also where the server in front of the app does not."""
    # "A server MUST respond with a 400 (Bad Request) status code to any HTTP/1.1 request message that lacks a Host
    # header field and to any request message that contains more than one Host header field line or a Host header field
    # with an invalid field value." Two lines are joined by a comma, which no host has.
    if not is_host(host) and (host or environ.get("SERVER_PROTOCOL") == "HTTP/1.1"):
        raise RequestError("BadRequest", _NO_HOST)
    coding = headers.get("transfer-encoding")
    if coding is None:
        return
    if coding.strip().lower() != "chunked":
        raise RequestError("NotImplemented", f"Of transfer codings, chunked is known, and not {coding!r}.")
    if not environ.get("wsgi.input_terminated"):
        # What such a server gives for a body without a length is no body (PEP 3333).
        raise RequestError("MissingContentLength", "This server takes no chunked transfer: send a Content-Length.")
    if "content-length" in headers:
        raise RequestError("BadRequest", "A request has a Transfer-Encoding or a Content-Length, not both.")


def parse_request(environ: WSGIEnvironment, domains: Sequence[str] = ()) -> Request:
    """The request in `environ`. Raises RequestError."""
    target = environ.get("RAW_URI") or environ.get("REQUEST_URI")
    if not target or target[0] != "/":
        target = _rebuilt_target(environ)
    raw_path, _, query_text = target.partition("?")
    if not target.isascii() or "#" in target:
        # A URI has no other characters than those of ASCII (RFC 3986 section 2), and servers show such bytes in one way
        # or another: what is signed would not be what is read. And "the target URI excludes the reference's fragment
        # component" (RFC 9110 section 7.1): a proxy that reads none behind the # permits another key than is read here.
        raise RequestError("InvalidURI", "The request target has characters that must be percent-encoded (# is %23).")
    raw_query: list[tuple[str, str | None]] = []
    query: dict[str, str] = {}
    if query_text:
        for item in query_text.split("&"):
            if not item:
                continue
            name, equals, value = item.partition("=")
            raw_query.append((name, value if equals else None))
            if "%" in item or "+" in item:
                name, value = _decode(name, unquote_plus), _decode(value, unquote_plus)
            query.setdefault(name, value)
    headers = environ.get("bleepstore.headers")
    if headers is None:
        headers = join_fields(_blurred_headers(environ))
    host = headers.get("host", "")
    _check_framing(environ, headers, host)
    bucket, key, virtual_host = _locate(raw_path, host, domains)
    return Request(
        method=environ["REQUEST_METHOD"],
        raw_path=raw_path,
        raw_query=raw_query,
        headers=headers,
        query=query,
        bucket=bucket,
        key=key,
        virtual_host=virtual_host,
        scheme=environ.get("wsgi.url_scheme", "http"),
        host=host,
        environ=environ,
    )

"""The WSGI app: verify -> route -> operate -> render."""

from __future__ import annotations

import ipaddress
import logging
import os
import random
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from werkzeug.wsgi import LimitedStream

from bleepstore.errors import BleepStoreError, ObjectDamaged, S3Error, StoreReadOnly
from bleepstore.model import ANONYMOUS, Credential
from bleepstore.store import Store
from bleepstore_server.config import WELL_KNOWN, AppConfig
from bleepstore_server.operations.call import Call, caller_of
from bleepstore_server.request import Request, hurry, parse_request
from bleepstore_server.response import Headers, Response
from bleepstore_server.router import find_route, resource_of
from bleepstore_server.wire import sigv2, sigv4
from bleepstore_server.wire.documents.errors import error_document
from bleepstore_server.wire.errors import RequestError
from bleepstore_server.wire.headers import has_condition, refuse_conditions
from bleepstore_server.wire.refusals import translate
from bleepstore_server.wire.sigv4 import Identity

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_log = logging.getLogger("bleepstore.server")

#: Request ids are no secret, so they need no call to the system. A fork must not repeat its parent's.
_request_ids = random.Random()
os.register_at_fork(after_in_child=_request_ids.seed)

#: Of a body that nobody read, this much is read so that the client gets to see the answer before the connection ends.
MAX_DRAIN = 1024 * 1024
MAX_LENGTH_DIGITS = 18
_READ_ONLY = "This store is served read-only: nothing in it can be changed."

#: S3 has no x-amz-expected-bucket-owner there: all may ask, and whose a bucket is would be told to all who guess.
_WITHOUT_EXPECTED_OWNER = frozenset({"CreateBucket", "PostObject"})

#: What proxies add to requests.
_PROXY_FIELDS = (
    "HTTP_X_FORWARDED_HOST",
    "HTTP_X_FORWARDED_FOR",
    "HTTP_X_FORWARDED_PROTO",
    "HTTP_FORWARDED",
    "HTTP_VIA",
)
#: Anybody can send wrong signatures, and so fill a log.
_PROXY_WARNING_SECONDS = 60.0


def create_app(
    store: Store, config: AppConfig | None = None, *, credentials: Mapping[str, Credential] | None = None
) -> WSGIApplication:
    """The S3 endpoint of `store` as a WSGI app. `credentials` are access keys beside those of the store and of
    `config`; it may change while the app serves."""
    return _App(store, config or AppConfig(), {} if credentials is None else credentials)


class _App:
    def __init__(self, store: Store, config: AppConfig, credentials: Mapping[str, Credential]) -> None:
        self._store = store
        self._credentials = credentials
        self._config = config
        self._proxies = [ipaddress.ip_network(text) for text in config.trusted_proxies]
        self._region = config.region if config.strict_region else None
        pairs = [WELL_KNOWN] if config.allow_well_known_key else []
        if config.access_key is not None and config.secret_key is not None:
            pairs.append((config.access_key, config.secret_key))
        self._next_proxy_warning = 0.0
        self._configured = {key: Credential(key, secret, store.owner, None, True, 0) for key, secret in pairs}

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        request_id = f"{_request_ids.getrandbits(64):016X}"
        request: Request | None = None
        try:
            if not environ.get("wsgi.input_terminated"):
                environ["wsgi.input"] = _BoundedInput(environ["wsgi.input"], _declared_length(environ))
            if self._proxies:
                self._apply_forwarded(environ)
            request = parse_request(environ, self._config.domains)
            response = self._health(request) or self._operate(request)
        except Exception as error:  # noqa: BLE001  # the boundary: every failure becomes an S3 error document
            response = self._refuse(environ, request, request_id, error)
        finally:
            if request is not None:
                request.close()
        common: Headers = [("x-amz-request-id", request_id), ("x-amz-id-2", request_id)]
        if environ["REQUEST_METHOD"] == "HEAD" and isinstance(response.body, bytes):
            if response.length is None:
                response.length = len(response.body)
            response.body = b""
        return response.send(environ, start_response, common)

    def _operate(self, request: Request) -> Response:
        if request.method == "OPTIONS":
            raise _preflight_refusal(request)
        route = find_route(request)
        if route.operation != "PostObject":
            request.accept(self._authenticate(request))
            if request.identity is not None and "x-amz-copy-source" in request.identity.from_query:
                route = find_route(request)
        if route.function is None:
            raise RequestError("NotImplemented", f"The operation {route.operation} is not implemented by this store.")
        if not route.reads and self._store.read_only:
            raise RequestError("AccessDenied", _READ_ONLY)
        call = Call(self._store, self._config, request, caller_of(request.identity), self._find_credential)
        if request.bucket is not None and route.operation not in _WITHOUT_EXPECTED_OWNER:
            call.check_bucket_owner(request.bucket, "x-amz-expected-bucket-owner")
        if not route.anonymous and call.caller is ANONYMOUS:
            raise RequestError("AccessDenied")
        if not route.reads:
            if route.permission is not None:
                call.check_permission(route.permission, route.subject)
            if not route.conditional and has_condition(request.headers):
                if route.permission is None and route.method == "DELETE":
                    self._store.get_bucket(call.bucket, caller=call.caller)  # it is the owner's alone
                refuse_conditions(request.headers)
        if route.permission is None:
            return route.function(call)
        try:
            return route.function(call)
        except RequestError:
            if route.reads:
                call.check_permission(route.permission, route.subject)
            raise

    def _authenticate(self, request: Request) -> Identity[Credential] | None:
        """Who signed the request; None if nobody did."""
        authorization = request.headers.get("authorization") or None  # an empty one is none
        query = request.query
        version_4 = bool(query) and ("X-Amz-Signature" in query or "X-Amz-Algorithm" in query)
        version_2 = bool(query) and "Signature" in query
        given = (authorization is not None) + version_4 + version_2
        if not given:
            return None
        if given > 1:
            raise RequestError(
                "InvalidArgument",
                "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string "
                "parameter or the Authorization header should be specified",
            )
        request.refuse_repeated_parameters()
        signed, lookup, now = request.signed, self._find_credential, self._store.wall_time_ms() // 1000
        host_bucket = request.bucket if request.virtual_host else None
        if authorization is not None:
            # A test that moves the store's clock does not move that of its clients (bleepstore.testing.clock).
            now = request.environ.get("bleepstore.signing_time", now)
            if authorization.startswith(sigv4.ALGORITHM + " "):
                undeclared = None if self._config.require_content_sha256 else request.hash_body
                return sigv4.verify_header(signed, authorization, lookup, now, self._region, undeclared)
            if authorization.startswith("AWS "):
                return sigv2.verify_header(signed, authorization, lookup, now, host_bucket)
            raise RequestError(
                "InvalidArgument",
                "Unsupported Authorization Type",
                fields={"ArgumentName": "Authorization", "ArgumentValue": authorization},
            )
        if version_2:
            return sigv2.verify_query(signed, query, lookup, now, host_bucket)
        return sigv4.verify_query(signed, query, lookup, now, self._region)

    def _find_credential(self, access_key: str) -> Credential | None:
        """A configured access key, one of the store, or one of those that were given beside."""
        known = self._configured.get(access_key) or self._store.get_credential(access_key)
        return known or self._credentials.get(access_key)

    # -- refusals

    def _refuse(self, environ: WSGIEnvironment, request: Request | None, request_id: str, error: Exception) -> Response:
        resource = request.resource if request is not None else str(environ.get("PATH_INFO", ""))
        if isinstance(error, RequestError):
            refused = error
        elif isinstance(error, StoreReadOnly):
            refused = RequestError("AccessDenied", _READ_ONLY)
        elif isinstance(error, S3Error):
            refused = translate(error, environ["REQUEST_METHOD"])
        elif isinstance(error, ObjectDamaged):
            # The library has logged it.
            refused = RequestError("InternalError", "The stored bytes are damaged. Restore the object from a backup.")
        else:
            level = logging.WARNING if isinstance(error, BleepStoreError) else logging.ERROR
            _log.log(level, "request %s failed", request_id, exc_info=error)
            refused = RequestError("InternalError")
        if refused.status >= 500 and isinstance(error, S3Error) and error.__cause__ is not None:
            _log.error("request %s failed: %s", request_id, error, exc_info=error)
        headers: Headers = [("Content-Type", "application/xml"), *refused.headers]
        if refused.code == "InvalidRange" and "ActualObjectSize" in refused.fields:
            headers.append(("Content-Range", f"bytes */{refused.fields['ActualObjectSize']}"))
        if refused.status == 503:
            headers.append(("Retry-After", str(getattr(error, "retry_after", None) or 1)))
        if not _drain(environ):
            headers.append(("Connection", "close"))
        fields = refused.fields
        if refused.code == "SignatureDoesNotMatch" and "StringToSign" in fields:  # a form does not sign its host
            fields = {**fields, "Host": self._seen_host(environ)}
        if refused.code == "InvalidURI":
            uri = str(environ.get("RAW_URI") or environ.get("REQUEST_URI") or environ.get("PATH_INFO", ""))
            fields = {"URI": uri.partition("?")[0], **fields}
        document = error_document(refused.code, refused.message, resource, request_id, fields)
        return Response(refused.status, headers, document)

    def _seen_host(self, environ: WSGIEnvironment) -> str:
        """The Host that the signature was verified with; the log says so where a proxy may have changed it."""
        host = str(environ.get("HTTP_HOST", ""))
        forwarded = {name: environ[name] for name in _PROXY_FIELDS if name in environ}
        now = time.monotonic()
        if forwarded and now >= self._next_proxy_warning:
            self._next_proxy_warning = now + _PROXY_WARNING_SECONDS
            told = ", ".join(f"{name[5:].replace('_', '-').title()} {value!r}" for name, value in forwarded.items())
            _log.warning(
                "a signature does not match; the request came with Host %r and %s. If the proxy changed Host, let it "
                "pass it on as it came, or name the proxy in trusted_proxies (docs/howto/serve.md).",
                host,
                told,
            )
        return host

    # -- the edge

    def _health(self, request: Request) -> Response | None:
        """Unsigned GETs of exactly /healthz and /readyz. (A bucket of such a name can be used in every other way.)"""
        if request.raw_path not in ("/healthz", "/readyz") or request.method not in ("GET", "HEAD"):
            return None
        if request.raw_query or "authorization" in request.headers:
            return None
        if request.raw_path == "/readyz":
            try:
                self._store.ping()
            except Exception as error:  # noqa: BLE001  # whatever is wrong, the answer is that we are not ready
                _log.warning("not ready", exc_info=error)
                return Response(503, [("Content-Type", "text/plain")], b"not ready\n")
        return Response(200, [("Content-Type", "text/plain")], b"ok\n")

    def _apply_forwarded(self, environ: WSGIEnvironment) -> None:
        """Believe a trusted proxy about the scheme and host that the client used."""
        try:
            remote = ipaddress.ip_address(environ.get("REMOTE_ADDR", ""))
        except ValueError:
            return
        if not any(remote in network for network in self._proxies):
            return
        scheme = environ.get("HTTP_X_FORWARDED_PROTO", "").split(",")[-1].strip()
        if scheme in ("http", "https"):
            environ["wsgi.url_scheme"] = scheme
        host = environ.get("HTTP_X_FORWARDED_HOST", "").split(",")[-1].strip()
        if host:
            raw = environ.get("bleepstore.headers")
            if raw is not None:
                environ["bleepstore.headers"] = [
                    (name, host if name.lower() == "host" else value) for name, value in raw
                ]
            environ["HTTP_HOST"] = host


def _preflight_refusal(request: Request) -> RequestError:
    """No bucket here has a CORS configuration yet."""
    if "origin" not in request.headers:
        return RequestError("BadRequest", "Insufficient information. Origin request header needed.")
    method = request.headers.get("access-control-request-method")
    if method not in ("GET", "PUT", "POST", "DELETE", "HEAD"):
        return RequestError("BadRequest", f"Invalid Access-Control-Request-Method: {method or 'null'}")
    return RequestError("AccessForbidden", fields={"Method": method, "ResourceType": resource_of(request).name})


def _declared_length(environ: WSGIEnvironment) -> int:
    text: str = environ.get("CONTENT_LENGTH") or "0"
    if not (text.isascii() and text.isdigit()) or len(text) > MAX_LENGTH_DIGITS:
        raise RequestError("BadRequest", "Content-Length is not a number.")
    return int(text)


class _BoundedInput(LimitedStream):
    """The body of a server that does not end it by itself. A client that goes away ends it early."""

    def on_disconnect(self, error: Exception | None = None) -> None:
        """Whoever reads sees that the body is too short, and says so in S3's words."""


def _never() -> bool:
    return False


def _drain(environ: WSGIEnvironment) -> bool:
    """Read what is left of a moderate body; False if there is more, so that the connection must end."""
    if environ.get("bleepstore.awaits_continue", _never)():
        return False  # the client waits to be asked for its body, and need not send it now
    length = environ.get("CONTENT_LENGTH")
    chunked = "chunked" in environ.get("HTTP_TRANSFER_ENCODING", "").lower()
    if not length and not chunked:
        return True
    if length and (not length.isdigit() or len(length) > MAX_LENGTH_DIGITS or int(length) > 64 * MAX_DRAIN):
        return False
    hurry(environ)
    left = MAX_DRAIN
    try:
        while left > 0:
            data = environ["wsgi.input"].read(min(left, 64 * 1024))
            if not data:
                return True
            left -= len(data)
    except (OSError, ValueError):
        return False
    return False

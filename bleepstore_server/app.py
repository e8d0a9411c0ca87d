"""The WSGI app: a request on its way through the layers."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from bleepstore.access import ANONYMOUS
from bleepstore.committer import DirectCommitter
from bleepstore.errors import AccessDenied, BleepStoreError, NoSuchBucket, NoSuchKey, S3Error
from bleepstore.model import Credential
from bleepstore.posix import run_in_forks
from bleepstore.store import Store
from bleepstore.store.engine import Engine
from bleepstore_server.app_config import AppConfig
from bleepstore_server.exchange import PAYER, REQUESTER, SPAN, UNPARSED, Exchange, Request, parse_request, read_url
from bleepstore_server.layers.authenticate import Authenticator
from bleepstore_server.layers.browsers import send_to_console
from bleepstore_server.layers.cors import CrossOriginAnswers
from bleepstore_server.layers.limits import bound_body
from bleepstore_server.layers.proxies import Proxies
from bleepstore_server.layers.record import Recorder, finish, recorded
from bleepstore_server.layers.render import refuse
from bleepstore_server.monitoring import UNWATCHED, Monitoring, is_ready
from bleepstore_server.rates import RateMeter
from bleepstore_server.response import REASONS, ObjectBody, Response, text
from bleepstore_server.router import Route, find_route
from bleepstore_server.sts import SessionService, is_for_sts
from bleepstore_server.website import Websites
from bleepstore_server.wire.encryption import ENCRYPTION, STORE_METHOD
from bleepstore_server.wire.errors import RequestError
from bleepstore_server.wire.headers import refuse_conditions
from bleepstore_server.wire.refusals import READ_ONLY

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from bleepstore_server.audit import AuditLog

_QUICK_DIGITS = 7
_READS = frozenset({"GET", "HEAD", "OPTIONS"})

#: Unsigned GETs of exactly these paths ask for the health of the server, whatever buckets there are. MinIO's paths are
#: in compose files, and asked for by its own client (`mc ready`).
_ALIVE = ("/healthz", "/minio/health/live")
_READY = ("/readyz", "/minio/health/ready", "/minio/health/cluster", "/minio/health/cluster/read")

_EXPECTED_OWNER = "x-amz-expected-bucket-owner"
#: S3 has no x-amz-expected-bucket-owner there: all may ask, and whose a bucket is would be told to all who guess.
_WITHOUT_EXPECTED_OWNER = frozenset({"CreateBucket", "PostObject"})

#: What is a POST for in which no bucket is named, or as one in the path of sessions ("/-/sts").
_FOR_STS = (None, "-")

#: Request ids are no secret, so they need no call to the system. A fork must not repeat its parent's.
_request_ids = random.Random()
run_in_forks(_request_ids.seed)


def create_app(
    store: Store,
    config: AppConfig | None = None,
    *,
    credentials: Mapping[str, Credential] | None = None,
    record: Recorder | None = None,
    meter: RateMeter | None = None,
    monitoring: Monitoring = UNWATCHED,
) -> WSGIApplication:
    """The S3 endpoint of `store` as a WSGI app. `credentials` are access keys beside those of the store and of
    `config`; it may change while the app serves. `record` is called with a `Record` for each request, in the thread
    that serves it, when the body of the answer is done. `meter` counts the requests of keys that have a rate, also of
    other processes if it is shared; without it each app counts for itself. For `monitoring` see the class."""
    given = {} if credentials is None else credentials
    kind = _App if monitoring.traces is None else _FollowedApp
    return kind(store, config or AppConfig(), given, record, meter or RateMeter(), monitoring)


class _App:
    #: A server that carries out many requests in one thread sets this. It gets each request that has to be in the audit
    #: log before it is answered: it has it concluded with others by `conclude` before it sends the answer, and returns
    #: True; or it returns False, and the request is concluded alone.
    gather: Callable[[tuple[Exchange, int]], bool] | None = None

    def __init__(
        self,
        store: Store,
        config: AppConfig,
        credentials: Mapping[str, Credential],
        record: Recorder | None,
        meter: RateMeter,
        monitoring: Monitoring,
    ) -> None:
        self._store = store
        self._config = config
        self._counts = monitoring.counts
        self._audit = monitoring.audit
        self._traces = monitoring.traces
        self._recorders = () if record is None else (record,)
        seed = store.random_seed
        self._request_ids = _request_ids if seed is None else random.Random(seed)
        self._meter = meter
        self._pages = {**dict.fromkeys(_ALIVE, self._alive), **dict.fromkeys(_READY, self._ready), **monitoring.pages}
        self._proxies = Proxies(config.trusted_proxies)
        self._authenticator = Authenticator(store, config, credentials)
        self._cross_origin = CrossOriginAnswers(store, config.cors_allow_origin)
        self._websites = Websites(config.website_domain) if config.website_domain else None
        self._logged = store.engine.logged_buckets
        self._find_credential = self._authenticator.find_credential
        self._find_signer = self._authenticator.find_signer
        self._sts = SessionService(store, self._authenticator, config.oidc_issuer)
        # What is in memory alone is at rest nowhere, so what S3 promises of objects at rest holds there.
        reports = config.report_encryption or store.in_memory
        self._unencrypted = ((ENCRYPTION, STORE_METHOD),) if reports else ()
        # A larger body may hold an object that is kept in the catalog too, and is no loss.
        self._quick_size = store.inline_limit if store.is_local else -1

    @property
    def committer(self) -> DirectCommitter | None:
        """What makes the changes of quick requests durable, if it is a disk that does it."""
        committer = self._store.engine.committer
        return committer if isinstance(committer, DirectCommitter) and not self._store.in_memory else None

    @property
    def audit(self) -> AuditLog | None:
        """The audit log that requests are written to."""
        return self._audit

    def conclude(self, finished: Sequence[tuple[Exchange, int]]) -> None:
        """Count requests whose answers are ready, with bodies of so many bytes, and write them to the audit log."""
        assert self._audit is not None
        if self._counts is not None:
            for exchange, bytes_out in finished:
                self._counts.count(exchange, bytes_out)
        self._audit.write_requests(finished)

    @property
    def engine(self) -> Engine:
        """What a server that does many requests in one thread tells how such a thread waits."""
        return self._store.engine

    def is_quick(self, environ: WSGIEnvironment, careful: bool) -> bool:
        """Whether a request needs no more than the catalog and perhaps a file to read (`Engine.run_blocking`): no other
        file is written, and no provider is asked. A server may then do many of them in one thread
        (`bleepstore_server.worker`). A `careful` one, as the catalog's disk hangs, asks for those that need none."""
        method, query, target = environ["REQUEST_METHOD"], environ["QUERY_STRING"], environ["RAW_URI"]
        if target in _ALIVE and method in ("GET", "HEAD") and "HTTP_AUTHORIZATION" not in environ:
            return True
        if careful or self._quick_size < 0:
            return False
        length = environ.get("CONTENT_LENGTH")
        if length is not None and (len(length) > _QUICK_DIGITS or int(length) > self._quick_size):
            return False
        if "HTTP_TRANSFER_ENCODING" in environ:
            return False
        if method in ("GET", "HEAD"):
            return target not in self._pages  # which ask the disk, or take their time
        return method in ("PUT", "DELETE") and "uploadId" not in query and "HTTP_X_AMZ_COPY_SOURCE" not in environ

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        request_id = f"{self._request_ids.getrandbits(64):016X}"
        exchange = Exchange(
            self._store,
            self._config,
            self._find_credential,
            self._find_signer,
            environ,
            request_id,
            self._meter,
            self._unencrypted,
        )
        try:
            self._adapt(environ)
            if self._websites is not None and self._websites.is_asked_for(environ):
                response = self._websites.respond(exchange)
            else:
                request = exchange.request = parse_request(environ, self._config.domains)
                if request.raw_path in self._pages and _asks_for_page(request):
                    response = self._page(exchange)
                else:
                    response = self._operate(exchange)
        except Exception as error:  # noqa: BLE001  # the boundary: every failure becomes an S3 error document
            response = send_to_console(exchange) or refuse(exchange, error, self._proxies)
            if exchange.caller is ANONYMOUS and exchange.bucket:
                # Whoever it was, the signature was wrong; the bucket was not looked at yet.
                with contextlib.suppress(BleepStoreError):
                    self._store.get_bucket(exchange.bucket)
        finally:
            if exchange.request.kept is not None:
                exchange.request.kept.close()
        if "HTTP_ORIGIN" in environ and exchange.request is not UNPARSED:
            self._cross_origin.add_headers(exchange.request, response)
        if exchange.rate_limits:
            self._meter.charge(exchange.rate_limits, exchange.request.bytes_in + response.body_length)
        body = _begin_answer(exchange, response, start_response)
        recorders, audit, counts = self._recorders, self._audit, self._counts
        if audit is not None and (environ["REQUEST_METHOD"] not in _READS or audit.reads or exchange.status == 403):
            if isinstance(body, ObjectBody):
                recorders = (*recorders, audit.write)
            else:  # it is in the log before the client is told
                finished = exchange, len(body[0]) if body else 0
                if self.gather is None or not self.gather(finished):
                    self.conclude([finished])
                counts = None
        if self._traces is not None and SPAN in environ:
            recorders = (*recorders, self._traces.recorder(environ))
        # As little is called as can be, for this is added to each request.
        source, logged = exchange.source, self._logged
        if recorders or exchange.bucket in logged or (source is not None and source.bucket in logged):
            if body:
                return recorded(exchange, body, recorders, counts)
            finish(exchange, recorders, counts, time.monotonic_ns(), 0)
        elif counts is None:
            pass
        elif isinstance(body, ObjectBody):
            body.done = partial(counts.count, exchange)
        else:
            counts.count(exchange, len(body[0]) if body else 0)
        return body

    def _adapt(self, environ: WSGIEnvironment) -> None:
        """Make up for what the server or a proxy before it did otherwise than the app expects."""
        if not environ.get("wsgi.input_terminated"):
            bound_body(environ)
        if environ.get("RAW_URI", "")[:1] != "/":
            read_url(environ)
        if self._config.trusted_proxies:
            self._proxies.apply_forwarded(environ)

    def _operate(self, exchange: Exchange) -> Response:
        request = exchange.request
        exchange.bucket, exchange.key = request.bucket or "", request.key or ""
        if request.method == "OPTIONS":
            return self._cross_origin.preflight(request)
        if request.method == "POST" and request.bucket in _FOR_STS and is_for_sts(request):
            if self._audit is not None:
                self._audit.check()
            return self._sts.answer(exchange)
        route = find_route(request)
        exchange.operation, exchange.action, exchange.sub_resource = route.operation, route.action, route.sub_resource
        exchange.version_id = request.query.get("versionId")
        audit = self._audit
        if audit is not None and audit.refuses and (not route.reads or audit.reads):
            audit.check()
        if route.operation != "PostObject":  # a form speaks for itself
            self._authenticator.authenticate(exchange)
            if request.identity is not None and "x-amz-copy-source" in request.identity.from_query:
                route = find_route(request)
                exchange.operation, exchange.action = route.operation, route.action
        return _carry_out(exchange, route)

    def _page(self, exchange: Exchange) -> Response:
        exchange.operation = "HealthCheck"
        request = exchange.request
        request.bucket = request.key = None
        return self._pages[request.raw_path](exchange.environ, exchange.request_id)

    def _alive(self, _environ: WSGIEnvironment, _request_id: str) -> Response:
        return text("ok\n")

    def _ready(self, _environ: WSGIEnvironment, _request_id: str) -> Response:
        return text("ok\n") if is_ready(self._store, self._audit) else text("not ready\n", 503)


class _FollowedApp(_App):
    """Makes a span of each request, but for its pages: they are asked for every few seconds, by those who watch."""

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        is_page = environ.get("PATH_INFO") in self._pages and "HTTP_AUTHORIZATION" not in environ
        if self._traces is None or is_page:
            return super().__call__(environ, start_response)
        with self._traces.follow(environ):
            return super().__call__(environ, start_response)


def _asks_for_page(request: Request) -> bool:
    """Unsigned GETs without a query. (A bucket of such a name can be used in every other way.)"""
    if request.method not in ("GET", "HEAD"):
        return False
    return not request.raw_query and not request.virtual_host and "authorization" not in request.headers


def _carry_out(exchange: Exchange, route: Route) -> Response:
    """The answer of an operation. Who may not do it is told that, and nothing else that is wrong.

    The store decides that once, within the operation and before anything else of it (`bleepstore.access`). It is asked
    here only before a document is read, and when something else was wrong.
    """
    function, request = route.function, exchange.request
    if function is None:
        raise RequestError("NotImplemented", f"The operation {route.operation} is not implemented by this store.")
    if not route.reads and exchange.store.read_only:
        raise RequestError("AccessDenied", READ_ONLY)
    if _EXPECTED_OWNER in request.headers and request.bucket and route.operation not in _WITHOUT_EXPECTED_OWNER:
        exchange.check_bucket_owner(request.bucket, _EXPECTED_OWNER)
    if not route.anonymous and exchange.caller.is_anonymous:
        raise RequestError("AccessDenied")
    if route.document:
        exchange.check_access(is_preliminary=True)
    try:
        if not route.reads and not route.conditional:
            refuse_conditions(request.headers)
        response = function(exchange)
    except (AccessDenied, NoSuchBucket):
        raise  # decided; and a bucket that was made again since is another
    except (RequestError, S3Error) as error:
        # That the object of a read is not there is found out, or told, to those alone who may know.
        if not (route.own_answer or (route.reads and isinstance(error, NoSuchKey))):
            exchange.check_access(is_preliminary=True)
        raise
    if PAYER in request.headers and exchange.is_charged():
        response.headers.append(("x-amz-request-charged", REQUESTER))
    return response


def _begin_answer(exchange: Exchange, response: Response, start_response: StartResponse) -> list[bytes] | ObjectBody:
    """Begin the answer; what is returned is its body."""
    environ, request_id, body = exchange.environ, exchange.request_id, response.body
    headers = response.headers
    headers += (("x-amz-request-id", request_id), ("x-amz-id-2", request_id))
    exchange.status = response.status
    length = len(body) if isinstance(body, bytes) else body.length
    if response.status not in (204, 304):
        headers.append(("Content-Length", str(length if response.length is None else response.length)))
    start_response(f"{response.status} {REASONS.get(response.status, 'Unknown')}", headers)
    if isinstance(body, bytes):
        return [body] if body and environ["REQUEST_METHOD"] != "HEAD" else []
    return ObjectBody(body, length, environ.get("bleepstore.abort"))

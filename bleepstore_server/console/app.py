"""The WSGI app of the console: from a request to a page, and what every answer carries."""

from __future__ import annotations

import contextlib
import hmac
import json
import logging
import math
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

import attrs
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map, Rule
from werkzeug.wrappers import Response

from bleepstore.access import Caller
from bleepstore.errors import BleepStoreError, ObjectDamaged, S3Error, StoreReadOnly
from bleepstore.store import Store
from bleepstore_server.app_config import AppConfig
from bleepstore_server.audit import AuditLog
from bleepstore_server.console import assets
from bleepstore_server.console.auditing import Outcome, is_audited, record_of
from bleepstore_server.console.pages import THEME_COOKIE, THEMES, Pages, html
from bleepstore_server.console.routes import ROUTES, Route
from bleepstore_server.console.sessions import COOKIE, MAX_COOKIE, RENEW_MS, ConsoleSession, Sessions, Signer
from bleepstore_server.console.shared import Shared
from bleepstore_server.console.visit import MAX_FORM, ConsoleRequest, Visit, url_of
from bleepstore_server.layers.authenticate import Authenticator
from bleepstore_server.layers.proxies import Proxies
from bleepstore_server.metrics.exposition import Metrics
from bleepstore_server.rates import RateMeter
from bleepstore_server.wire.errors import RequestError
from bleepstore_server.wire.refusals import READ_ONLY, translate

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_log = logging.getLogger("bleepstore.server")

#: Of every answer, unless it has its own: nothing but the files of this package is loaded, nothing runs that stands in
#: a page, no other site frames it or gets a form of it.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'"
)
_HEADERS = (
    ("Content-Security-Policy", _POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    # To no other site. (`no-referrer` would make the Origin of forms "null", which is how others' look.)
    ("Referrer-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Permissions-Policy", "camera=(), geolocation=(), microphone=()"),
    ("Cache-Control", "no-store"),
)
_SAFE = ("GET", "HEAD")
#: What is read of a body that was refused: as much as the scripts send at once, and more.
_MAX_DRAIN = 16 * 1024 * 1024
_PIECE = 256 * 1024
_RULES = [Rule(route.path, methods=[route.method], endpoint=route) for route in ROUTES]
_MAP = Map(_RULES, merge_slashes=False, strict_slashes=False)


class Console:
    """A WSGI app that shows a store in a browser. It may be mounted anywhere: SCRIPT_NAME says where.

    `config` has the access keys beside those of the store, as `create_app`; `port` is that of S3, so that links that
    are shared can name it where `public_endpoint` does not. `shared` is what workers know together: made before
    the fork, if there are several. `audit` gets a record of what is done, `metrics` has the figures that are shown.
    """

    def __init__(
        self,
        store: Store,
        config: AppConfig | None = None,
        *,
        port: int | None = None,
        meter: RateMeter | None = None,
        shared: Shared | None = None,
        audit: AuditLog | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        self._store = store
        self._config = config or AppConfig()
        self._port = port
        self._meter = meter or RateMeter()
        shared = shared or Shared()
        self._tries = shared.tries
        self._sessions = Sessions(Authenticator(store, self._config, {}), shared.ended)
        self._proxies = Proxies(self._config.trusted_proxies)
        self._pages = Pages()
        self._audit = audit
        self._metrics = metrics

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if self._config.trusted_proxies:
            self._proxies.apply_forwarded(environ)
        request = ConsoleRequest(environ)
        outcome = Outcome(os.urandom(8).hex().upper())
        try:
            response = self._respond(request, outcome)
        except HTTPException as error:
            outcome.error_code = error.name.replace(" ", "")
            response = self._failure(request, error.code or 500, outcome.error_code, error.description or "")
        except Exception as error:  # noqa: BLE001  # the boundary: every failure becomes a page
            refused = _refused(error, request.method)
            outcome.error_code = refused.code
            response = self._failure(request, refused.status, refused.code, refused.message, _detail(refused))
        for name, value in _HEADERS:
            response.headers.setdefault(name, value)
        response.headers["X-Request-Id"] = outcome.request_id
        if response.status_code >= 400 and request.method not in _SAFE:
            _drain(request)
        if self._audit is not None and is_audited(outcome, response.status_code, reads=self._audit.reads):
            self._audit.write(record_of(outcome, request, response))
        return response(environ, start_response)

    # -- routes

    def _respond(self, request: ConsoleRequest, outcome: Outcome) -> Response:
        route, arguments = _MAP.bind_to_environ(request.environ).match()
        assert isinstance(route, Route)
        outcome.route, outcome.arguments = route, arguments
        if request.method not in _SAFE:
            _check_origin(request)
        request.max_content_length = None if route.streams else MAX_FORM
        if route.name == "asset":
            return assets.respond(**arguments)
        if route.name == "theme":
            return self._choose_theme(request)
        now_ms = self._store.wall_time_ms()
        session = self._sessions.find(request.cookies.get(COOKIE), now_ms)
        if route.name == "sign-in":
            return self._sign_in(request, outcome, now_ms)
        if session is None:
            outcome.error_code = "SignInRequired"
            return self._ask_to_sign_in(request, ended=COOKIE in request.cookies)
        outcome.caller = self._caller(request, session.signer, outcome, now_ms)
        if request.method not in _SAFE:
            _check_token(request, session, route)
        if route.name == "sign-out":
            self._sessions.end(session)
            return _without_cookie(request, Response(status=303, headers=[("Location", url_of(request, "sign-in"))]))
        response = self._visit(request, session, outcome, route)
        if session.signer.rate_limits:
            sizes = (request.content_length or 0, response.content_length or 0)
            self._meter.charge(session.signer.rate_limits, sum(sizes))
        if now_ms - session.seen_ms >= RENEW_MS:
            self._set_cookie(request, response, attrs.evolve(session, seen_ms=now_ms))
        return response

    def _visit(self, request: ConsoleRequest, session: ConsoleSession, outcome: Outcome, route: Route) -> Response:
        assert outcome.caller is not None
        signer = session.signer
        if signer.rate_limits:
            self._meter.admit(signer.rate_limits)
        visit = Visit(
            request=request,
            store=self._store,
            config=self._config,
            pages=self._pages,
            session=session,
            caller=outcome.caller,
            endpoint=self._endpoint(request),
            metrics=self._metrics,
            audit=self._audit,
        )
        assert route.function is not None
        try:
            if self._audit is not None and (request.method not in _SAFE or self._audit.reads):
                self._audit.check()
            return route.function(visit, **outcome.arguments)
        except (S3Error, RequestError, StoreReadOnly) as error:
            if route.again is None:
                raise
            visit.error = _refused(error, request.method)
            outcome.error_code = visit.error.code
            return route.again(visit, **outcome.arguments)

    def _caller(self, request: ConsoleRequest, signer: Signer, outcome: Outcome, now_ms: int) -> Caller:
        return Caller(
            signer.owner,
            user=signer.user,
            access_key=signer.access_key,
            session=getattr(signer, "session", None),
            source_ip=request.remote_addr,
            secure=request.is_secure,
            time_ms=now_ms,
            user_agent=request.user_agent.string or None,
            region=self._config.region,
            request_id=outcome.request_id,
        )

    def _endpoint(self, request: ConsoleRequest) -> str | None:
        if self._config.public_endpoint is not None:
            return self._config.public_endpoint
        host = _split(f"//{request.host}").hostname
        if self._port is None or not host:
            return None
        return f"{request.scheme}://{f'[{host}]' if ':' in host else host}:{self._port}"

    # -- signing in

    def _ask_to_sign_in(self, request: ConsoleRequest, *, ended: bool) -> Response:
        """To whoever is not signed in, or no more. What is asked for by a script gets no page."""
        if request.accept_mimetypes.best == "application/json" or request.method not in _SAFE:
            return self._failure(request, 401, "SignInRequired", self._pages.texts["sign_in"]["ended"])
        asked = request.full_path.rstrip("?") if request.method == "GET" else ""
        query = {"next": asked if asked != "/" else None, "ended": "1" if ended else None}
        return Response(status=303, headers=[("Location", url_of(request, "sign-in", **query))])

    def _sign_in(self, request: ConsoleRequest, outcome: Outcome, now_ms: int) -> Response:
        texts = self._pages.texts["sign_in"]
        target = request.values.get("next", "")
        if request.method == "GET":
            notice = texts["ended"] if "ended" in request.args else None
            return self._sign_in_page(request, target, notice=notice)
        address, access_key = request.remote_addr or "", request.form.get("access_key", "").strip()[:256]
        outcome.access_key, outcome.error_code = access_key, "AccessDenied"
        wait = self._tries.wait_of(address, access_key)
        if wait > 0:
            refused = texts["too_many"].format(seconds=math.ceil(wait))
            response = self._sign_in_page(request, target, refused=refused, status=429)
            response.headers["Retry-After"] = str(math.ceil(wait))
            return response
        secret_key, token = request.form.get("secret_key", "").strip(), request.form.get("token", "").strip() or None
        session = self._sessions.begin(access_key, secret_key, token, now_ms)
        if session is None:
            self._tries.failed(address, access_key)
            return self._sign_in_page(request, target, refused=texts["wrong"], status=403)
        self._tries.succeeded(address, access_key)
        if len(session.cookie) > MAX_COOKIE:
            return self._sign_in_page(request, target, refused=texts["long_token"], status=400)
        outcome.error_code, outcome.caller = None, self._caller(request, session.signer, outcome, now_ms)
        response = Response(status=303, headers=[("Location", _inside(request, target))])
        self._set_cookie(request, response, session)
        return response

    def _sign_in_page(
        self,
        request: ConsoleRequest,
        target: str,
        *,
        notice: str | None = None,
        refused: str | None = None,
        status: int = 200,
    ) -> Response:
        access_key = request.form.get("access_key", "")[:256] if request.method == "POST" else ""
        values = {"target": target, "refused": refused, "notice": notice, "access_key": access_key}
        return html(self._pages.render(request, "sign_in.html", visit=None, **values), status)

    def _set_cookie(self, request: ConsoleRequest, response: Response, session: ConsoleSession) -> None:
        response.set_cookie(
            COOKIE,
            session.cookie,
            path=_cookie_path(request),
            secure=request.is_secure,
            httponly=True,
            samesite="Strict",
        )

    def _choose_theme(self, request: ConsoleRequest) -> Response:
        theme = request.form.get("theme", "")
        response = Response(status=303, headers=[("Location", _inside(request, request.form.get("next", "")))])
        if theme in THEMES:
            response.set_cookie(
                THEME_COOKIE,
                theme,
                max_age=365 * 86400,
                path=_cookie_path(request),
                secure=request.is_secure,
                httponly=True,
                samesite="Strict",
            )
        return response

    # -- failures

    def _failure(self, request: ConsoleRequest, status: int, code: str, message: str, detail: str = "") -> Response:
        if request.accept_mimetypes.best == "application/json":
            body = json.dumps({"code": code, "message": message, "detail": detail})
            return Response(body, status, content_type="application/json")
        values = {"status": status, "code": code, "message": message, "detail": detail, "visit": None}
        return html(self._pages.render(request, "failure.html", **values), status)


def _cookie_path(request: ConsoleRequest) -> str:
    return f"{request.root_path.rstrip('/')}/"


def _without_cookie(request: ConsoleRequest, response: Response) -> Response:
    response.delete_cookie(
        COOKIE, path=_cookie_path(request), secure=request.is_secure, httponly=True, samesite="Strict"
    )
    return response


def _inside(request: ConsoleRequest, target: str) -> str:
    """Where to go on: a page of this console, whatever a link says."""
    path = target.partition("?")[0]
    is_local = path.startswith("/") and not path.startswith("//") and "\\" not in target and target.isprintable()
    if not is_local or path == "/sign-in":
        return url_of(request, "buckets")
    return request.root_path.rstrip("/") + target


def _split(url: str) -> SplitResult:
    """The parts of a URL that anybody may have written; none of what is no URL."""
    try:
        return urlsplit(url)
    except ValueError:
        return urlsplit("")


def _check_origin(request: ConsoleRequest) -> None:
    """Browsers say with each request that changes something which site it comes from. Raises RequestError."""
    origin, site = request.headers.get("Origin"), request.headers.get("Sec-Fetch-Site", "same-origin")
    if (origin is not None and _split(origin).netloc != request.host) or site not in ("same-origin", "none"):
        raise RequestError("AccessDenied", "This request comes from another site.")


def _check_token(request: ConsoleRequest, session: ConsoleSession, route: Route) -> None:
    """Raises RequestError unless it was sent by a page of this session."""
    given = request.headers.get("X-CSRF-Token", "") if route.streams else request.form.get("csrf", "")
    if not hmac.compare_digest(given.encode("utf-8", "replace"), session.csrf.encode()):
        raise RequestError("AccessDenied", "This form is not of this session. Open the page again.")


def _drain(request: ConsoleRequest) -> None:
    """Read what is left of a part that was refused: a browser that cannot send it all does not see why."""
    request.max_content_length = None
    left = _MAX_DRAIN
    with contextlib.suppress(HTTPException, OSError, ValueError):
        while left > 0 and (piece := request.stream.read(min(left, _PIECE))):
            left -= len(piece)


def _refused(error: Exception, method: str) -> RequestError:
    """The failure in S3's words."""
    if isinstance(error, RequestError):
        return error
    if isinstance(error, StoreReadOnly):
        return RequestError("AccessDenied", READ_ONLY)
    if isinstance(error, S3Error):
        return translate(error, method)
    if isinstance(error, ObjectDamaged):
        return RequestError("InternalError", "The stored bytes are damaged. Restore the object from a backup.")
    level = logging.WARNING if isinstance(error, BleepStoreError) else logging.ERROR
    _log.log(level, "a request to the console failed", exc_info=error)
    return RequestError("InternalError")


def _detail(refused: RequestError) -> str:
    return refused.fields.get("additionalMessage", "")

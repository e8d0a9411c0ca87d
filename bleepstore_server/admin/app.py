"""The WSGI app of the admin address: it finds the row, asks who calls, reads what was sent, and answers in JSON."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from bleepstore.access import Caller
from bleepstore.errors import BleepStoreError, S3Error
from bleepstore.errors.refusals import Conflict, NotFound
from bleepstore_server.admin.administrators import Administrators
from bleepstore_server.admin.answers import parse_json, render, structure
from bleepstore_server.admin.rows import AdminError, Call, Row, Who
from bleepstore_server.admin.services import Services
from bleepstore_server.admin.table import ROWS
from bleepstore_server.layers.record import Record
from bleepstore_server.monitoring import Monitoring
from bleepstore_server.response import Response
from bleepstore_server.wire.errors import RequestError
from bleepstore_server.wire.refusals import translate

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_log = logging.getLogger("bleepstore.server")

MAX_BODY = 1024 * 1024
_MAX_PARAMETERS = 32
#: Of a name in a line of the audit log.
_MAX_NAMED = 1024
#: What is shown here is no page of others, and none of it is kept by whoever passes it on.
_ALWAYS = (
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
)


class AdminApp:
    """See `bleepstore_server.admin`. `mounts` are WSGI apps of their own below a path, such as "/console"."""

    def __init__(self, services: Services, *, mounts: Mapping[str, WSGIApplication] | None = None) -> None:
        self.services = services
        config = services.config
        self._admit = Administrators(services.store, config, config.admin_token)
        self._mounts = dict(mounts or {})

    def monitoring(self) -> Monitoring:
        """What the S3 port needs of it."""
        on_s3_port = [row.path for row in ROWS if row.on_s3_port and self.services.config.admin_on_s3_port]
        services = self.services
        return Monitoring(
            pages=dict.fromkeys(on_s3_port, self.answer),
            counts=services.metrics.requests,
            audit=services.audit,
            traces=services.traces,
        )

    # -- WSGI

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        for prefix, app in self._mounts.items():
            if path == prefix or path.startswith(prefix + "/"):
                shifted = environ | {"SCRIPT_NAME": environ["SCRIPT_NAME"] + prefix, "PATH_INFO": path[len(prefix) :]}
                return app(shifted, start_response)
        request_id = secrets.token_hex(8).upper()
        response = self.answer(environ, request_id)
        headers = [*response.headers, *_ALWAYS, ("X-Request-Id", request_id)]
        assert isinstance(response.body, bytes)
        headers.append(("Content-Length", str(len(response.body))))
        start_response(f"{response.status} {HTTPStatus(response.status).phrase}", headers)
        return [response.body] if response.body and environ["REQUEST_METHOD"] != "HEAD" else []

    def answer(self, environ: WSGIEnvironment, request_id: str) -> Response:
        """The answer to a request. Whatever goes wrong is one too."""
        row: Row | None = None
        caller: Caller | None = None
        code = access_key = named = None
        begun = time.time()
        try:
            row, names = self._find(environ["REQUEST_METHOD"], environ.get("PATH_INFO", ""))
            body = _read_body(environ)
            if row.who is Who.ADMIN:
                caller = self._admit(environ, body)
                access_key = caller.access_key
                if self.services.audit is not None:  # all calls are in the log, those that only read too
                    self.services.audit.check()
            call = self._call_of(row, names, body, caller, environ, request_id)
            named = _named(row, call.body)
            answer = row.handler(call)
            named = _named(row, answer) or named
            response = answer if isinstance(answer, Response) else render(answer, row.status)
        except Exception as error:  # noqa: BLE001  # the boundary: every failure becomes an answer
            refused = _refused(error, request_id)
            code, access_key = refused.code, access_key or refused.access_key
            response = _error_response(refused, request_id)
        if row is not None and row.who is Who.ADMIN and self.services.audit is not None:
            record = _record_of(row, caller, access_key, environ, response, code, begun, request_id)
            if named is not None:
                record.key = f"{record.key}/{named[:_MAX_NAMED]}"
            self.services.audit.write(record)
        return response

    def _find(self, method: str, path: str) -> tuple[Row, dict[str, str]]:
        """The row and what stands for its names. Raises AdminError."""
        try:
            path = path.encode("latin-1").decode()  # WSGI shows bytes as Latin-1
        except UnicodeError:
            raise AdminError(404, "NotFound", "The path is not UTF-8.") from None
        wanted = "GET" if method == "HEAD" else method
        allowed = set()
        for row in ROWS:
            names = row.match(path)
            if names is not None:
                if row.method == wanted:
                    return row, names
                allowed.add(row.method)
        if allowed:
            raise MethodNotAllowed(allowed)
        raise AdminError(404, "NotFound", "There is nothing of this path: /docs lists what there is.")

    def _call_of(
        self,
        row: Row,
        names: Mapping[str, str],
        body: bytes,
        caller: Caller | None,
        environ: WSGIEnvironment,
        request_id: str,
    ) -> Call:
        if row.body is None and body:
            raise AdminError(400, "UnexpectedBody", f"{row.method} {row.path} takes no body.")
        return Call(
            services=self.services,
            rows=ROWS,
            row=row,
            names=names,
            query=structure(_parse_query(environ.get("QUERY_STRING", "")), row.query, "query"),
            body=None if row.body is None else structure(parse_json(body), row.body, "body"),
            caller=caller,
            environ=environ,
            request_id=request_id,
        )


def _named(row: Row, value: object) -> str | None:
    """What a body or an answer is about, where the path does not name it. Of a key that is made the answer tells it."""
    if "{" in row.path:
        return None
    found = (getattr(value, field, None) for field in ("access_key", "name", "role", "user"))
    return next((one for one in found if isinstance(one, str) and one), None)


def _refused(error: Exception, request_id: str) -> AdminError:
    """A failure in words of this address."""
    if isinstance(error, AdminError):
        return error
    if isinstance(error, NotFound | Conflict):
        # S3's codes are those of objects: a key that is not there is no wrong signature here.
        return AdminError(404 if isinstance(error, NotFound) else 409, type(error).__name__, error.summary)
    if isinstance(error, S3Error):
        error = translate(error, "GET")
    if isinstance(error, RequestError):
        return AdminError(error.status, error.code, error.message)
    if isinstance(error, BleepStoreError):
        return AdminError(400, type(error).__name__, str(error))
    _log.error("request %s failed", request_id, exc_info=error, extra={"request_id": request_id})
    return AdminError(500, "InternalError", "The server met an internal error, which its log tells.")


def _error_response(error: AdminError, request_id: str) -> Response:
    shown = {"error": {"code": error.code, "message": error.message, "request_id": request_id}}
    response = render(shown, error.status)
    if isinstance(error, MethodNotAllowed):
        response.headers.append(("Allow", error.allowed))
    if error.status == 401:
        response.headers.append(("WWW-Authenticate", "Bearer"))
    return response


def _record_of(
    row: Row,
    caller: Caller | None,
    access_key: str | None,
    environ: WSGIEnvironment,
    response: Response,
    code: str | None,
    begun: float,
    request_id: str,
) -> Record:
    return Record(
        time_ms=int(begun * 1000),
        remote=environ.get("REMOTE_ADDR", ""),
        method=environ["REQUEST_METHOD"],
        operation=f"{row.method} {row.path}",
        key=environ.get("PATH_INFO", "").encode("latin-1").decode(errors="replace"),
        access_key=access_key,
        principal=None if caller is None else caller.requester,
        status=response.status,
        error_code=code,
        bytes_out=response.body_length,
        duration=time.time() - begun,
        request_id=request_id,
        door="admin",
        user_agent=environ.get("HTTP_USER_AGENT"),
    )


class MethodNotAllowed(AdminError):
    """405: the path is known, for these methods."""

    def __init__(self, allowed: set[str]) -> None:
        self.allowed = ", ".join(sorted(allowed | ({"HEAD"} if "GET" in allowed else set())))
        super().__init__(405, "MethodNotAllowed", f"This path answers {self.allowed}.")


def _read_body(environ: WSGIEnvironment) -> bytes:
    length = environ.get("CONTENT_LENGTH") or "0"
    chunked = bool(environ.get("HTTP_TRANSFER_ENCODING"))
    too_long = AdminError(413, "TooLong", f"A body has at most {MAX_BODY} bytes.")
    if not (length.isascii() and length.isdigit()):
        raise AdminError(400, "BadRequest", "Content-Length is not a number.")
    if len(length) > 9 or int(length) > MAX_BODY:
        raise too_long
    if length == "0" and not (chunked and environ.get("wsgi.input_terminated")):
        return b""
    wanted = MAX_BODY + 1 if chunked else int(length)
    pieces = []
    try:
        while wanted and (piece := environ["wsgi.input"].read(wanted)):
            pieces.append(piece)
            wanted -= len(piece)
    except Exception as error:  # each server has its own classes for a body that it cannot read
        raise AdminError(400, "IncompleteBody", f"The body could not be read to its end: {error}") from error
    body = b"".join(pieces)
    if len(body) > MAX_BODY:
        raise too_long
    if not chunked and wanted:
        raise AdminError(400, "IncompleteBody", "The body ended before its Content-Length.")
    return body


def _parse_query(text: str) -> dict[str, str]:
    try:
        found = parse_qsl(text, keep_blank_values=True, max_num_fields=_MAX_PARAMETERS, errors="strict")
    except ValueError as error:
        raise AdminError(400, "BadQuery", f"The query cannot be read: {error}") from None
    query = dict(found)
    if len(query) < len(found):
        raise AdminError(400, "BadQuery", "A parameter of the query is given twice.")
    return query

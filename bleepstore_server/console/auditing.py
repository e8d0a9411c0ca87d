"""What the audit log gets to know of the console: who did what to what, as of the other doors."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from typing import Any

import attrs
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Request, Response

from bleepstore.access import Caller
from bleepstore_server.console.routes import Route
from bleepstore_server.layers.record import Record

_MAX_TEXT = 1024


@attrs.define
class Outcome:
    """What is known of a request by the end of it."""

    request_id: str
    begun: float = attrs.field(factory=time.time)
    route: Route | None = None
    arguments: Mapping[str, Any] = attrs.field(factory=dict)
    caller: Caller | None = None
    #: Of who tries to sign in.
    access_key: str | None = None
    error_code: str | None = None


def is_audited(outcome: Outcome, status: int, *, reads: bool) -> bool:
    """Whatever may change something, each try to sign in, and what was refused for want of rights; `reads`: also what
    only shows something. Not what needs nobody to be signed in: files of this package, and colors."""
    route = outcome.route
    if route is None or route.name in ("asset", "theme"):
        return False
    return route.method != "GET" or status == 403 or (reads and outcome.caller is not None)


def record_of(outcome: Outcome, request: Request, response: Response) -> Record:
    caller, route = outcome.caller, outcome.route
    form = _form_of(request)
    bucket = outcome.arguments.get("bucket") or form.get("bucket")
    key = request.args.get("key") or form.get("key")
    if bucket is None:  # of the store: which user, key, quota or job it is about
        named = next((form[name] for name in ("access_key", "name", "job") if form.get(name)), None)
        key = request.path if named is None or outcome.caller is None else f"{request.path}/{named[:_MAX_TEXT]}"
    return Record(
        time_ms=int(outcome.begun * 1000),
        remote=request.remote_addr or "",
        method=request.method,
        operation=None if route is None else route.operation,
        bucket=bucket,
        key=key,
        version_id=request.args.get("version"),
        access_key=outcome.access_key if caller is None else caller.access_key,
        principal=None if caller is None else caller.requester,
        status=response.status_code,
        error_code=outcome.error_code,
        bytes_in=request.content_length or 0,
        bytes_out=response.content_length or 0,
        duration=time.time() - outcome.begun,
        request_id=outcome.request_id,
        door="console",
        user_agent=request.user_agent.string[:_MAX_TEXT] or None,
        deleted=tuple((one, None, outcome.error_code) for one in _deleted(route, form)),
    )


_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")


def _form_of(request: Request) -> MultiDict[str, str]:
    """Nothing of a body that is no form, or was refused."""
    if request.mimetype in _FORMS:
        with contextlib.suppress(HTTPException):
            return request.form
    return MultiDict()


def _deleted(route: Route | None, form: MultiDict[str, str]) -> list[str]:
    """The keys that a form marks."""
    return form.getlist("key") if route is not None and route.operation == "DeleteObjects" else []

"""One request to the console: who makes it, what it asks, and how it is answered."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlencode

import attrs
from werkzeug.wrappers import Request, Response

from bleepstore.access import Action, Caller
from bleepstore.errors import S3Error
from bleepstore.store import Store
from bleepstore_server.app_config import AppConfig
from bleepstore_server.audit import AuditLog
from bleepstore_server.console.pages import Pages, html
from bleepstore_server.console.sessions import ConsoleSession
from bleepstore_server.metrics.exposition import Metrics
from bleepstore_server.wire.errors import RequestError

#: The largest form: a policy has 20 KB, a lifecycle of 1,000 rules a few hundred. Files are no forms.
MAX_FORM = 2 * 1024 * 1024


class ConsoleRequest(Request):
    """A request whose forms are bounded."""

    max_form_memory_size = MAX_FORM
    max_form_parts = 4000


@attrs.define(eq=False)
class Visit:
    """What a page is made of. `error` is why the form that was sent was refused: the page shows it, and what was typed
    into the form."""

    request: ConsoleRequest
    store: Store
    config: AppConfig
    pages: Pages
    session: ConsoleSession
    caller: Caller
    #: The URL of S3 as clients of this request would reach it; None: it is not known.
    endpoint: str | None
    #: The figures of the server; None: nobody counts them.
    metrics: Metrics | None = None
    audit: AuditLog | None = None
    error: RequestError | None = None

    # -- what is asked

    def argument(self, name: str) -> str:
        return self.request.args.get(name, "")

    def field(self, name: str, default: str = "") -> str:
        """Of a form; browsers send texts with the line ends of MIME."""
        return self.request.form.get(name, default).replace("\r\n", "\n")

    def number(self, name: str) -> int | None:
        """A whole number of a form; None if nothing was typed. Raises RequestError."""
        text = self.field(name).strip()
        if not text:
            return None
        if not (text.isascii() and text.isdecimal() and len(text) < 20):
            raise RequestError("InvalidArgument", self.pages.texts["errors"]["number"].format(name=name, value=text))
        return int(text)

    @property
    def version_id(self) -> str | None:
        return self.argument("version") or None

    # -- who asks

    @property
    def is_administrator(self) -> bool:
        """Whether it is the root of the account of the store's owner, with a key of its own: users, keys, quotas and
        jobs are no part of S3, and nobody else may change them."""
        caller = self.caller
        return caller.user is None and caller.session is None and caller.account.id == self.store.owner.id

    def check_administrator(self) -> None:
        if not self.is_administrator:
            raise RequestError("AccessDenied", self.pages.texts["errors"]["administrator"])

    def may(self, action: Action, bucket: str, key: str = "", version_id: str | None = None) -> bool:
        """Whether the caller may do it: a page does not offer what would be refused. The store decides in any case."""
        try:
            self.store.check_access(action, bucket, key, version_id=version_id, is_preliminary=True, caller=self.caller)
        except S3Error:
            return False
        return True

    # -- the answer

    def url(self, *path: str, **query: str | None) -> str:
        return url_of(self.request, *path, **query)

    def page(self, template: str, **values: Any) -> Response:
        """A page for somebody who is signed in."""
        done = self.pages.texts["notices"].table.get(self.argument("done"))
        common = {"visit": self, "url": self.url, "error": self.error, "notice": done}
        text = self.pages.render(self.request, template, **common, **values)
        return html(text, 200 if self.error is None else self.error.status)

    def go(self, *path: str, done: str | None = None, **query: str | None) -> Response:
        """To another page, which says what was done: the name of one of the texts of notices."""
        return Response(status=303, headers=[("Location", self.url(*path, done=done, **query))])


def url_of(request: Request, *path: str, **query: str | None) -> str:
    """The path of a page of this console, wherever it is mounted."""
    given = {name: value for name, value in query.items() if value is not None}
    text = "/".join([request.root_path.rstrip("/"), *(quote(part, safe="") for part in path)])
    return f"{text or '/'}?{urlencode(given, safe='/')}" if given else text or "/"

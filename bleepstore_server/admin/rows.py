"""One row for each thing that the admin address answers: the app and its description (OpenAPI) are made of the rows."""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from bleepstore.access import Caller
from bleepstore_server.admin.services import Services

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


_NAME = re.compile(r"\{([a-z_]+)\}")


class Who(enum.Enum):
    """Who may ask."""

    #: Whoever reaches the address.
    ANYBODY = "anybody"
    #: Who signs with a key of an administrator, or brings the token of the configuration.
    ADMIN = "admin"


class AdminError(Exception):
    """A call that is refused: the status, a code for programs, and a sentence that says what to do. `access_key` is
    whose signature was right, where it is the right to ask that is missing."""

    def __init__(self, status: int, code: str, message: str, *, access_key: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.access_key = access_key


@attrs.frozen(kw_only=True)
class Done:
    """What there is to say of a change that has no more to tell."""

    done: bool = True


@attrs.frozen(kw_only=True)
class Call:
    """One call, once it is known who asks and all that was sent has its shape."""

    services: Services
    row: Row
    #: All that there are.
    rows: Sequence[Row]
    #: What stands for the names in the braces of the path.
    names: Mapping[str, str]
    #: Of the classes that the row declares.
    query: Any = None
    body: Any = None
    #: None: who may ask is anybody.
    caller: Caller | None = None
    environ: WSGIEnvironment = attrs.field(repr=False)
    request_id: str


@attrs.frozen(kw_only=True)
class Row:
    """`path` has names in braces, each for one segment: /admin/v1/buckets/{name}.

    `query`, `body` and `answer` are attrs classes; None: there is none. An unknown field is refused. The handler
    returns a value of the class of the answer, which is sent as JSON, or a Response as it is, and raises AdminError, or
    errors of the store. A GET is a HEAD too.
    """

    method: str
    path: str
    who: Who
    summary: str
    handler: Callable[[Call], Any]
    query: type | None = None
    body: type | None = None
    answer: type | None = None
    #: Of a success.
    status: int = 200
    #: Of an answer that is no JSON.
    media_type: str = "application/json"
    #: Whether the S3 port may answer it too (`admin_on_s3_port`).
    on_s3_port: bool = False

    def match(self, path: str) -> dict[str, str] | None:
        """What stands for the names, if it is this path."""
        found = self._pattern.fullmatch(path)
        return None if found is None else found.groupdict()

    _pattern: re.Pattern[str] = attrs.field(init=False, repr=False, eq=False)

    @_pattern.default
    def _make_pattern(self) -> re.Pattern[str]:
        return re.compile(_NAME.sub(r"(?P<\1>[^/]+)", re.sub(r"[.]", r"[.]", self.path)))

    @property
    def names(self) -> tuple[str, ...]:
        """Those in the path."""
        return tuple(_NAME.findall(self.path))

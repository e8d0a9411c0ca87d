"""The head of a request: from bytes to fields, without I/O (RFC 9112 sections 2 to 6).

Whoever reads a message otherwise than the proxy before it can be made to take one request for two. So what the RFC
leaves to the reader is refused here: a lone CR or LF, folded lines, white space before a colon, two lengths, a length
beside a transfer coding, and a transfer coding of HTTP/1.0.
"""

from __future__ import annotations

import re

import attrs

from bleepstore_server.wire.errors import ERRORS
from bleepstore_server.wire.targets import is_host, parse_url

END = b"\r\n\r\n"

#: The target is a path, a whole URL or `*` (RFC 9112 section 3.2): any other is another path for each who mends it.
_REQUEST_LINE = re.compile(
    r"([A-Z][A-Z0-9_$.-]{0,19}) ((?:/|[A-Za-z][A-Za-z0-9+.-]*://)[!-~\x80-\xff]*|\*) HTTP/1\.([01])"
)
#: RFC 9110 section 5.6.2.
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
#: RFC 9110 section 5.5: "Field values containing CR, LF, or NUL characters are invalid and dangerous", and other
#: control characters but the tab are invalid too.
_CONTROLS = bytes({*range(32), 127} - {ord("\t")})
_DIGITS = re.compile(r"[0-9]{1,18}")
#: The transfer codings that are registered, beside chunked.
_CODINGS = frozenset({"compress", "deflate", "gzip", "identity", "x-compress", "x-gzip"})

#: Name as sent -> (name in lower case, its variable or "" for what is in no environ). WSGI cannot tell `_` from
#: `-`: a name with `_` could pose as another. What clients make up must not fill the memory.
_names: dict[str, tuple[str, str]] = {}
_MAX_NAMES = 1000


@attrs.frozen
class Refusal:
    """What is said to a head that is none, before the connection ends."""

    status: str
    code: str
    message: str


LINE_TOO_LONG = Refusal("414 URI Too Long", "InvalidURI", "The request line is too long.")
HEAD_TOO_LONG = Refusal(
    "400 Bad Request", "RequestHeaderSectionTooLarge", ERRORS["RequestHeaderSectionTooLarge"].message
)
BAD_LINE = Refusal("400 Bad Request", "BadRequest", "The request line is not valid HTTP/1.1.")
BAD_FIELD = Refusal("400 Bad Request", "BadRequest", "A header field of the request is not valid HTTP.")
BAD_FRAMING = Refusal("400 Bad Request", "BadRequest", "Where the body of the request ends is not said as HTTP has it.")
UNKNOWN_CODING = Refusal("501 Not Implemented", "NotImplemented", "Of transfer codings, chunked is known.")
REFUSALS = (LINE_TOO_LONG, HEAD_TOO_LONG, BAD_LINE, BAD_FIELD, BAD_FRAMING, UNKNOWN_CODING)


class RefusedHead(Exception):
    """The head of a request is refused."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


@attrs.frozen
class Limits:
    """`line` and `field` are bytes of the request line and of a field; `head` those of all together."""

    line: int = 8190
    fields: int = 500
    field: int = 8190
    head: int = 65536


@attrs.define
class Head:
    """What a request says before its body. `target` is a path with its query, or `*`; the host of one that is a URL is
    in `fields`. These are by their names in lower case, the values of a repeated one joined by commas (RFC 9110 section
    5.3); `variables` are the same by their names in the environ of WSGI. `length` is None where the body ends by its
    chunks."""

    method: str
    target: str
    minor: int
    fields: dict[str, str]
    variables: dict[str, str]
    length: int | None = 0

    @property
    def keeps_alive(self) -> bool:
        """Whether the client lets its connection go on (RFC 9112 section 9.3)."""
        value = self.fields.get("connection")
        if value is None:
            return self.minor == 1
        options = [option.strip(" \t") for option in value.lower().split(",")]
        return "close" not in options and (self.minor == 1 or "keep-alive" in options)

    @property
    def awaits_continue(self) -> bool:
        """ "A server that receives a 100-continue expectation in an HTTP/1.0 request MUST ignore that expectation"
        (RFC 9110 section 10.1.1)."""
        return self.minor == 1 and self.fields.get("expect", "").lower() == "100-continue"


def parse_head(data: bytes | bytearray, limits: Limits) -> Head:
    """The head that `data` is, without the empty line at its end. Raises RefusedHead."""
    lines = data.decode("latin-1").split("\r\n")
    if len(lines[0]) > limits.line:
        raise RefusedHead(LINE_TOO_LONG)
    if len(data) > limits.head or len(lines) - 1 > limits.fields:
        raise RefusedHead(HEAD_TOO_LONG)
    request_line = _REQUEST_LINE.fullmatch(lines[0])
    if request_line is None:
        raise RefusedHead(BAD_LINE)
    if len(data) > limits.field and any(len(line) > limits.field for line in lines[1:]):
        raise RefusedHead(HEAD_TOO_LONG)
    if len(data.translate(None, _CONTROLS)) + 2 * (len(lines) - 1) != len(data):
        raise RefusedHead(BAD_FIELD)
    fields: dict[str, str] = {}
    variables: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        lower, variable = (_names.get(name) if colon else None) or _learn(name, colon)
        value = value.strip(" \t")
        if lower in fields:
            value = f"{fields[lower]},{value}"
        fields[lower] = value
        if variable:
            variables[variable] = value
    if "," in fields.get("host", ""):
        # "A server MUST respond with a 400 (Bad Request) status code [...] to any request message that contains more
        # than one Host header field line or a Host header field with an invalid field value" (RFC 9112 section 3.2):
        # no host has the comma by which two lines are joined.
        raise RefusedHead(BAD_FIELD)
    method, target, minor = request_line.groups()
    head = Head(method, target, int(minor), fields, variables)
    if target[0] not in "/*":
        _read_url(head)
    if "content-length" in fields or "transfer-encoding" in fields:
        head.length = _length(head)
    return head


def refuse_unfinished(data: bytes | bytearray, limits: Limits) -> None:
    """Raise RefusedHead for the beginning of a head that cannot become one any more."""
    if len(data) > limits.line and b"\r\n" not in data[: limits.line + 2]:
        raise RefusedHead(LINE_TOO_LONG)
    if len(data) > limits.head:
        raise RefusedHead(HEAD_TOO_LONG)


def _learn(name: str, colon: str) -> tuple[str, str]:
    if not colon or not _TOKEN.fullmatch(name):
        raise RefusedHead(BAD_FIELD)
    variable = "" if "_" in name else name.upper().replace("-", "_")
    if variable and variable not in ("CONTENT_LENGTH", "CONTENT_TYPE"):
        variable = "HTTP_" + variable
    known = (name.lower(), variable)
    if len(_names) < _MAX_NAMES:
        _names[name] = known
    return known


def _read_url(head: Head) -> None:
    """Make the host of a target that is a URL the Host of the request, and the rest its target."""
    url = parse_url(head.target)
    if url is None or not is_host(url.host):
        raise RefusedHead(BAD_LINE)
    head.target = url.path
    host = url.host_that_counts(head.fields.get("host"), head.minor)
    if host is not None:  # else the app refuses the request
        head.fields["host"] = head.variables["HTTP_HOST"] = host


def _length(head: Head) -> int | None:
    """RFC 9112 section 6.3."""
    length, coding = head.fields.get("content-length"), head.fields.get("transfer-encoding")
    if coding is None:
        if length is None or not _DIGITS.fullmatch(length):  # two of them are joined by a comma
            raise RefusedHead(BAD_FRAMING)
        return int(length)
    if length is not None:
        raise RefusedHead(BAD_FRAMING)
    if head.minor == 0:
        raise RefusedHead(BAD_FRAMING)
    codings = [name.strip(" \t").lower() for name in coding.split(",")]  # nothing else is white space there
    if codings == ["chunked"]:
        return None
    if codings[-1] != "chunked" and set(codings) <= _CODINGS | {"chunked"}:
        # "If a Transfer-Encoding header field is present in a request and the chunked transfer coding is not the final
        # encoding, the message body length cannot be determined reliably; the server MUST respond with the 400 (Bad
        # Request) status code and then close the connection."
        raise RefusedHead(BAD_FRAMING)
    raise RefusedHead(UNKNOWN_CODING)

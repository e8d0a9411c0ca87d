"""How much of a body is read: no more than was declared, and little of one that was refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from werkzeug.wsgi import LimitedStream

from bleepstore_server.exchange import Exchange
from bleepstore_server.wire.bodies import hurry
from bleepstore_server.wire.errors import RequestError

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

#: Of a body that nobody read, this much is read so that the client gets to see the answer before the connection ends.
MAX_DRAIN = 1024 * 1024
MAX_LENGTH_DIGITS = 18
_PIECE = 64 * 1024
#: The body is known to be wrong before its end.
_MALFORMED = frozenset({"IncompleteBody", "InvalidChunkSizeError", "MalformedTrailerError"})


class _BoundedInput(LimitedStream):
    """The body of a server that does not end it by itself. A client that goes away ends it early."""

    def on_disconnect(self, error: Exception | None = None) -> None:
        """Whoever reads sees that the body is too short, and says so in S3's words."""


def bound_body(environ: WSGIEnvironment) -> None:
    """Have the body end at its declared length. Raises RequestError if that is no number."""
    text: str = environ.get("CONTENT_LENGTH") or "0"
    if not (text.isascii() and text.isdigit()) or len(text) > MAX_LENGTH_DIGITS:
        raise RequestError("BadRequest", "Content-Length is not a number.")
    environ["wsgi.input"] = _BoundedInput(environ["wsgi.input"], int(text))


def _never() -> bool:
    return False


def drain(exchange: Exchange) -> bool:
    """Read what is left of a moderate body; False if there is more, so that the connection must end."""
    environ = exchange.environ
    if exchange.error_code == "RequestTimeout":
        return False  # it has been waited for
    if exchange.error_code in _MALFORMED and "bleepstore.hurry" in environ:
        # Nobody knows what more will come, unless that was all; and the server lets the client read the answer.
        return bool(getattr(environ["wsgi.input"], "is_read", False))
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
            data = environ["wsgi.input"].read(min(left, _PIECE))
            if not data:
                return True
            left -= len(data)
            if exchange.request.kept is None:
                exchange.drained += len(data)
    except (OSError, ValueError):
        return False
    return False

"""An answer, before it is put on the wire."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import attrs

from bleepstore.errors import ObjectDamaged
from bleepstore.store import StoredObject
from bleepstore.store.verifying import Comparison
from bleepstore_server.wire.documents.declare import render

Headers = list[tuple[str, str]]

REASONS = {
    200: "OK", 204: "No Content", 206: "Partial Content", 201: "Created", 301: "Moved Permanently", 302: "Found",
    303: "See Other", 304: "Not Modified", 307: "Temporary Redirect", 308: "Permanent Redirect",
    400: "Bad Request", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed", 409: "Conflict",
    411: "Length Required", 412: "Precondition Failed", 416: "Range Not Satisfiable", 500: "Internal Server Error",
    501: "Not Implemented", 503: "Service Unavailable", 507: "Insufficient Storage",
}  # fmt: skip


@attrs.define
class Response:
    """Status, headers, and a body: bytes, or a stored object that is streamed and then closed.

    `length` is the Content-Length where it is not that of the body: the answer to a HEAD.
    """

    status: int = 200
    headers: Headers = attrs.field(factory=list)
    body: bytes | StoredObject = attrs.field(default=b"", repr=False)
    length: int | None = None

    @property
    def body_length(self) -> int:
        return len(self.body) if isinstance(self.body, bytes) else self.body.length


class ObjectBody:
    """A stored object as a WSGI body. It closes the object when the server is done, also when the client went away.

    Where the bytes turn out to be damaged the answer must not look whole: a server that would say something else on
    the connection is made to `abort` it. A server may also send the file by its descriptor: it feeds the `comparison`,
    if there is one, finishes that before the last byte is sent, adds to `sent`, and says if that fails."""

    def __init__(self, stored: StoredObject, length: int, abort: Callable[[], None] | None) -> None:
        self.stored = stored
        self.length = length
        self.sent = 0
        #: Of an answer that had to be broken off, although it had begun.
        self.error_code: str | None = None
        #: Told how many bytes were sent, when that is known (a chunk counts when the server asks for the next one), and
        #: the error code.
        self.done: Callable[[int, str | None], None] | None = None
        self._pending = 0
        self._abort = abort
        self._chunks = stored.chunks()

    @property
    def comparison(self) -> Comparison | None:
        return getattr(self.stored.file, "comparison", None)

    def descriptor(self) -> int | None:
        """That of the file, which is where the body begins; None if there is no real file."""
        file = self.stored.file
        try:
            return None if file is None else file.fileno()
        except OSError:
            return None

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        self.sent += self._pending
        self._pending = 0
        try:
            chunk = next(self._chunks)
        except StopIteration:
            self.close()
            raise
        except Exception as error:
            self.error_code = "InternalError"
            if self._abort is not None and isinstance(error, ObjectDamaged):
                self._abort()
            self.close()  # nobody asks for more
            raise
        self._pending = len(chunk)
        return chunk

    def close(self) -> None:
        self.stored.close()
        done, self.done = self.done, None
        if done is not None:
            done(self.sent, self.error_code)


def xml(document: object, status: int = 200) -> Response:
    """An answer of a document (`wire.documents`)."""
    return Response(status, [("Content-Type", "application/xml")], render(document))


def text(body: str, status: int = 200) -> Response:
    """An answer of plain text."""
    return Response(status, [("Content-Type", "text/plain")], body.encode())

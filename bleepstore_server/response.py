"""An answer, before it is put on the wire."""

from __future__ import annotations

import os
from collections.abc import Callable

import attrs

from bleepstore.errors import ObjectDamaged
from bleepstore.store import StoredObject
from bleepstore.store.verifying import Comparison
from bleepstore_server.wire.documents.declare import render

#: In the environ of a server that compares what a `SentFile` holds by itself, since it sends it by its descriptor.
COMPARES_FILES = "bleepstore.compares_files"

Headers = list[tuple[str, str]]


@attrs.define
class Response:
    """Status, headers, and a body: bytes, or a stored object that is streamed and then closed.

    `length` is the Content-Length where it is not that of the body: the answer to a HEAD.
    """

    status: int = 200
    headers: Headers = attrs.field(factory=list)
    body: bytes | StoredObject = attrs.field(default=b"", repr=False)
    length: int | None = None


def is_real_file(body: StoredObject) -> bool:
    try:
        return body.file is not None and body.file.fileno() >= 0
    except OSError:
        return False


class SentFile:
    """The file behind an object, as `socket.sendfile` wants it: it seeks to an offset of the real file. Whoever sends
    it by its descriptor feeds its `comparison`, if there is one, and finishes that before the last byte is sent."""

    def __init__(self, stored: StoredObject) -> None:
        assert stored.file is not None
        self.comparison: Comparison | None = getattr(stored.file, "comparison", None)
        self.name = f"{stored.version.bucket}/{stored.version.key}"
        self.fileno = stored.file.fileno
        self.read = stored.file.read
        self.close = stored.close

    def seek(self, offset: int) -> int:
        return os.lseek(self.fileno(), offset, os.SEEK_SET)


class Stream:
    """A WSGI body that closes the object when the server is done, also when the client went away.

    Where the bytes turn out to be damaged the answer must not look whole: a server that would say something else on
    the connection is made to `abort` it."""

    def __init__(self, stored: StoredObject, abort: Callable[[], None] | None) -> None:
        self._stored = stored
        self._abort = abort
        self._chunks = stored.chunks()

    def __iter__(self) -> Stream:
        return self

    def __next__(self) -> bytes:
        try:
            return next(self._chunks)
        except ObjectDamaged:
            if self._abort is not None:
                self._abort()
            raise

    def close(self) -> None:
        self._stored.close()


def xml(document: object, status: int = 200) -> Response:
    """An answer of a document (`wire.documents`)."""
    return Response(status, [("Content-Type", "application/xml")], render(document))

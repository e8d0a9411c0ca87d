"""The answers to downloads, as streams."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from bleepstore.backends.azure.pins import notes_of
from bleepstore.backends.gateway.streams import Check, Crc32c, Md5


class DownloadAnswer(Exception):
    """The answer to a download, on its way past the SDK's own reader, which would have all of it in memory."""

    def __init__(self, response: Any, chunks: Any) -> None:
        super().__init__("an answer")
        self.response = response
        self.chunks = chunks


def raise_answer(response: Any, chunks: Any, _headers: Any) -> NoReturn:
    raise DownloadAnswer(response.http_response, chunks)


class DownloadBody:
    """The body of an answer as a stream, the size of the whole blob, and what is noted of its bytes."""

    def __init__(self, answer: DownloadAnswer | None) -> None:
        self.size = 0
        self._crc32c: str | None = None
        self._md5: str | None = None
        self._response: Any = None
        self._chunks: Iterator[bytes] = iter(())
        self._rest = memoryview(b"")
        if answer is not None:
            self._response = answer.response
            self._chunks = iter(answer.chunks)
            headers = answer.response.headers
            _, _, total = headers.get("Content-Range", "").rpartition("/")
            self.size = int(total or headers["Content-Length"])
            prefix = "x-ms-meta-"
            noted = {name.lower().removeprefix(prefix): text for name, text in headers.items()}
            md5 = headers.get("x-ms-blob-content-md5") or (headers.get("Content-MD5") if not total else None)
            self._md5 = base64.b64decode(md5).hex() if md5 else None
            self._crc32c = notes_of(noted, self.size, self._md5).crc32c

    def check(self, accept: Callable[[str], bool]) -> Check | None:
        """What all its bytes must have. Azure lets anybody say what MD5 a blob has, so that one may be wrong too."""
        if self._crc32c is not None:
            return Check(Crc32c(), self._crc32c, accept)
        return None if self._md5 is None else Check(Md5(), self._md5, accept)

    def read(self, size: int, /) -> bytes:
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return b""
            self._rest = memoryview(chunk)
        taken, self._rest = self._rest[:size], self._rest[size:]
        return bytes(taken)

    def close(self) -> None:
        self._rest = memoryview(b"")
        if self._response is not None:
            self._response.close()

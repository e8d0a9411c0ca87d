"""Reading everything, to find what is damaged before somebody needs it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import BinaryIO

from bleepstore.backends.base import CHUNK, Gateway, StorageBackend
from bleepstore.backends.local import LocalBackend
from bleepstore.catalog.port import Cursor
from bleepstore.catalog.records import Content
from bleepstore.catalog.sqlite.reader import Reader
from bleepstore.errors import BlobBusy, BlobDamaged, BlobNotFound, Damage, StoreError
from bleepstore.store.archiving import ArchiveOperations
from bleepstore.store.verifying import why_damaged

#: Called with (bytes done, bytes in all).
Progress = Callable[[int, int], None]


class Pace:
    """Waits so that no more than `rate` bytes a second pass; None is as fast as it goes."""

    def __init__(self, rate: float | None, sleep: Callable[[float], object] = time.sleep) -> None:
        self._rate = rate
        self._sleep = sleep
        self._begun = time.monotonic()
        self._passed = 0

    def __call__(self, size: int) -> None:
        self._passed += size
        if self._rate is not None:
            early = self._begun + self._passed / self._rate - time.monotonic()
            if early > 0:
                self._sleep(early)


class ScrubOperations(ArchiveOperations):
    """Scrubs of stores whose bytes are in memory or in a folder."""

    def scrub(
        self,
        *,
        rate: float | None = None,
        quarantine: bool = False,
        progress: Progress | None = None,
        sleep: Callable[[float], object] = time.sleep,
    ) -> Iterator[Damage]:
        """Read every object and every part of an upload, and give those whose bytes are not what was written.

        It takes no more than `rate` bytes a second. The store is used meanwhile, by other processes too; what is
        written or deleted during the scrub may or may not be looked at. With `quarantine` a damaged blob is moved into
        the folder `quarantine` of the store: the object stays in listings, and reading it is an InternalError. What is
        damaged in the catalog stays there. `progress` is called with (bytes done, bytes in all).

        Raises StoreError for a store at a provider, which looks after its bytes by itself; StoreReadOnly.
        """
        self.check_open()
        if isinstance(self._backend, Gateway):
            raise StoreError("The bytes of this store are at a provider, who looks after them: scrub is for a folder.")
        return self._scrub(Pace(rate, sleep), quarantine, progress or (lambda _done, _total: None))

    def _scrub(self, pace: Pace, quarantine: bool, progress: Progress) -> Iterator[Damage]:
        with self._catalog.read() as reader:
            done, total = 0, reader.total_bytes()
        for next_page in (Reader.page_of_objects, Reader.page_of_parts):
            after: Cursor = ()
            while True:
                with self._catalog.read() as reader:
                    found, after = next_page(reader, after)
                for content, data in found:
                    reason = self._examine(content, data, pace)
                    done += content.size
                    progress(done, max(total, done))
                    if reason is not None and self._is_still(content):
                        moved = quarantine and self._quarantine(content)
                        yield content.damage(reason, quarantined=moved)
                if not after:
                    break

    def _examine(self, content: Content, data: bytes | None, pace: Pace) -> str | None:
        """What is wrong with these bytes, if anything is."""
        if content.handle is None:
            pace(content.size)
            return why_damaged((data or b"",), content)
        return examine_blob(self._backend, content, pace)

    def _is_still(self, content: Content) -> bool:
        """Whether the catalog still refers to the blob: one that was deleted meanwhile is not damaged."""
        with self._catalog.read() as reader:
            if content.handle is not None:
                return reader.content_of(content.handle) is not None
            found = reader.find_object(content.bucket, content.key, with_data=True)
        return found is not None and found.crc64nvme == content.crc64nvme

    def _quarantine(self, content: Content) -> bool:
        if content.handle is None or not isinstance(self._backend, LocalBackend):
            return False
        with contextlib.suppress(BlobNotFound, BlobBusy):  # it is gone already, or is read: the next scrub finds it
            self._backend.quarantine(content.handle)
            return True
        return False


def examine_blob(backend: StorageBackend, content: Content, pace: Callable[[int], object]) -> str | None:
    """What is wrong with a blob, if anything is."""
    assert content.handle is not None
    try:
        with backend.get_object(content.handle) as reader:
            return why_damaged(_paced(reader, pace), content)
    except BlobNotFound:
        return "its bytes are missing"
    except BlobDamaged as error:
        return error.reason
    except OSError as error:
        return f"its bytes cannot be read: {error}"


def _paced(reader: BinaryIO, pace: Callable[[int], object]) -> Iterator[bytes]:
    while chunk := reader.read(CHUNK):
        pace(len(chunk))
        yield chunk

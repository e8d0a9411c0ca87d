"""Reading everything, to find what is damaged before somebody needs it."""

from __future__ import annotations

import contextlib
import datetime as dt
import time
from collections.abc import Callable, Generator, Iterator

from bleepstore.backends.base import CHUNK, Gateway, StorageBackend
from bleepstore.backends.local import LocalBackend
from bleepstore.catalog.port import CatalogPort
from bleepstore.catalog.port_of_passes import Cursor
from bleepstore.catalog.records import Content
from bleepstore.errors import BlobBusy, BlobDamaged, BlobNotFound, Damage, StoreError
from bleepstore.jobs.scrub import WHEN_ASKED_MS, ScrubJob, ScrubStep
from bleepstore.store.engine import Engine
from bleepstore.store.verifying import Summary, why_damaged

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


class Scrubs:
    """Scrubs of stores whose bytes are in memory or in a folder."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

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
        scrubber = self._scrubber()
        return _damages(scrubber, Pace(rate, sleep), quarantine, progress or (lambda _done, _total: None))

    def scrub_every(self, interval: dt.timedelta, *, rate: float | None = None) -> None:
        """From now on read everything whenever `interval` has passed since the last time that this ended, no more than
        `rate` bytes a second, in the background. What is damaged is logged by `bleepstore.scrub`, and stays where it
        is. Of several processes that do this one reads, and the folder knows when that was; one that is read-only does
        not note it there.

        Raises StoreError for a store that is not in a folder.
        """
        self._add_job(interval // dt.timedelta(milliseconds=1), rate)
        self._engine.jobs.start()

    def scrub_when_asked(self, *, rate: float | None = None) -> None:
        """As `scrub_every`, but whenever `jobs.ask("scrub")` or `jobs.run("scrub")` says so, and never by itself."""
        self._add_job(WHEN_ASKED_MS, rate)

    def _add_job(self, interval_ms: int, rate: float | None) -> None:
        if not isinstance(self._engine.backend, LocalBackend):
            raise StoreError("Only a store in a folder is scrubbed.")
        self._engine.jobs.add(ScrubJob(self._scrubber().steps, interval_ms, rate))

    def _scrubber(self) -> Scrubber:
        self._engine.catalog.check_usable()
        if isinstance(self._engine.backend, Gateway):
            raise StoreError("The bytes of this store are at a provider, who looks after them: scrub is for a folder.")
        return Scrubber(self._engine.catalog, self._engine.backend)


def _damages(scrubber: Scrubber, pace: Pace, quarantine: bool, progress: Progress) -> Iterator[Damage]:
    done, total = 0, scrubber.total_bytes()
    for step in scrubber.steps(quarantine):
        pace(step.read)
        if step.ended is not None:
            done += step.ended
            progress(done, max(total, done))
        if step.damage is not None:
            yield step.damage


class Scrubber:
    """Reads what a catalog says that a backend has, a piece at a time."""

    def __init__(self, catalog: CatalogPort, backend: StorageBackend) -> None:
        self._catalog = catalog
        self._backend = backend

    def total_bytes(self) -> int:
        """The bytes of all objects and parts."""
        with self._catalog.read() as reader:
            return reader.total_bytes()

    def steps(self, quarantine: bool = False) -> Iterator[ScrubStep]:
        """A scrub from its beginning to its end. With `quarantine` a damaged blob is set aside."""
        for of_parts in (False, True):
            after: Cursor = ()
            while True:
                with self._catalog.read() as reader:
                    found, after = reader.page_of_parts(after) if of_parts else reader.page_of_objects(after)
                for content, data in found:
                    reason = yield from self._examine(content, data)
                    yield ScrubStep(ended=content.size)
                    if reason is not None and self._is_still(content):
                        moved = quarantine and self._quarantine(content)
                        yield ScrubStep(damage=content.damage(reason, quarantined=moved))
                if not after:
                    break

    def _examine(self, content: Content, data: bytes | None) -> Generator[ScrubStep, None, str | None]:
        """What is wrong with these bytes, if anything is."""
        if content.handle is None:
            yield ScrubStep(read=content.size)
            return why_damaged((data or b"",), content)
        summary = Summary(content)
        try:
            with self._backend.get_object(content.handle) as reader:
                while chunk := reader.read(CHUNK):
                    yield ScrubStep(read=len(chunk))
                    summary.add(chunk)
        except BlobNotFound:
            return "its bytes are missing"
        except BlobDamaged as error:
            return error.reason
        except OSError as error:
            return f"its bytes cannot be read: {error}"
        return summary.why_damaged()

    def _is_still(self, content: Content) -> bool:
        """Whether the catalog still refers to the blob: one that was deleted meanwhile is not damaged."""
        with self._catalog.read() as reader:
            if content.handle is not None:
                return reader.content_of(content.handle) is not None
            assert content.version_id is not None  # it is of an object
            found = reader.find_version(content.bucket, content.key, content.version_id, with_data=True)
        return found is not None and found.crc64nvme == content.crc64nvme

    def _quarantine(self, content: Content) -> bool:
        if content.handle is None or not isinstance(self._backend, LocalBackend):
            return False
        with contextlib.suppress(BlobNotFound, BlobBusy):  # it is gone already, or is read: the next scrub finds it
            self._backend.quarantine(content.handle)
            return True
        return False

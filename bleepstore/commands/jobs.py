"""Commands of the jobs, and of what is found at a provider."""

from __future__ import annotations

from typing import ClassVar

import attrs

from bleepstore.commands.change import Change
from bleepstore.commands.objects import PutObject
from bleepstore.events import Origin


@attrs.frozen(kw_only=True)
class FollowProvider(Change):
    """The bytes of a key have changed already, at a provider that keeps one object under each key: `written` is stored
    there now, or nothing. It completes the upload `upload_id`, if that is under way.

    Refused with OperationAborted if the current object of the catalog has another handle than `expected_current` (None:
    there is no object) by then, unless it is `written` itself. What was replaced is gone, so it becomes no garbage.
    Without an `origin` it was not changed through this store, and there is no event of it.
    """

    request_id: str
    time_ms: int
    bucket: str
    bucket_id: int | None = None
    key: str
    expected_current: str | None = None
    written: PutObject | None = None
    upload_id: str | None = None
    origin: Origin | None = None

    @property
    def frees_space(self) -> bool:  # type: ignore[override]  # it depends on the fields
        return self.written is None


@attrs.frozen(kw_only=True)
class BeginSweep(Change):
    """From here on no command may bring in a blob that was stored before `until_ms`."""

    frees_space = True

    request_id: str
    time_ms: int
    until_ms: int


@attrs.frozen(kw_only=True)
class EndSweep(Change):
    """No unreferenced blob from before `until_ms` is left."""

    frees_space = True

    request_id: str
    time_ms: int
    until_ms: int


@attrs.frozen(kw_only=True)
class ForgetGarbage(Change):
    """The blobs of these rows are gone from the backend."""

    frees_space = True

    request_id: str
    time_ms: int
    garbage_ids: tuple[int, ...]


#: How many restorations one command ends at the most.
MAX_RESTORATIONS = 1000


@attrs.frozen(kw_only=True)
class EndRestorations(Change):
    """Archived versions can be read that were asked for: those whose time was up to `until_ms`, the earliest first."""

    frees_space = True
    origin: ClassVar[Origin | None] = None

    request_id: str
    time_ms: int
    until_ms: int


@attrs.frozen(kw_only=True)
class ForgetEvents(Change):
    """A destination has taken its events up to the number `through`."""

    frees_space = True

    request_id: str
    time_ms: int
    destination: str
    through: int

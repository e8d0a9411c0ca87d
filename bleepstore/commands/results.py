"""What a command comes to."""

from __future__ import annotations

import attrs

from bleepstore.errors import S3Error
from bleepstore.model import (
    Restoration,
)
from bleepstore.object_lock import Retention
from bleepstore.values import statically_frozen


@attrs.frozen
class Done:
    """The change was made, and there is nothing else to say."""


@statically_frozen
class Written:
    """A version was written. Its id is None where the bucket never kept versions. `retention` is the one that its
    bucket gave it, if it did."""

    version_id: str | None
    modified_ms: int
    retention: Retention | None = None


@attrs.frozen
class Removed:
    """What was asked to be removed is not there (any more). `delete_marker_id` is that of the delete marker that was
    made, or of the one that was removed."""

    key: str
    version_id: str | None = None
    delete_marker_id: str | None = None


@attrs.frozen
class RemovedMany:
    """The outcome of each entry of a DeleteObjects, in order."""

    outcomes: tuple[Removed | S3Error, ...]


@attrs.frozen
class LifecycleApplied:
    """For how many versions it was done, and for how many something forbids it for now."""

    changed: int
    refused: int


@attrs.frozen
class Restored:
    """An archived object can be read until then, or will be; `is_extended`: it could be already."""

    restoration: Restoration
    is_extended: bool


Result = Done | Written | Removed | RemovedMany | LifecycleApplied | Restored | S3Error

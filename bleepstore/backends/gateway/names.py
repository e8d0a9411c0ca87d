"""Under which name an object is stored at a provider.

In a container for all buckets, `{prefix}{bucket}/` is the root of a bucket; in one for each bucket the container is
`{prefix}{bucket}` and the root is empty. In the layout `keys` an object is `{root}{key}`, unless the provider would
refuse or change that name, or it would be stored in our own folder; then it is `{root}.bleepstore/keys/{SHA-256 of the
key}`, and its metadata hold the key. In the layout `blobs` it is `{root}.bleepstore/blobs/{its id}`. What belongs
to no key is stored in `{prefix}.bleepstore/`, or in the `.bleepstore/` of each bucket's container.
"""

from __future__ import annotations

import enum
import hashlib
import re
from collections.abc import Callable
from typing import Protocol

import attrs

from bleepstore.backends.base import BlobId, BlobSpec

OWN = ".bleepstore/"

#: How long a write may go on at a provider that tells only when it began, in milliseconds. Before that the sweep takes
#: nothing of it for an orphan. (Azure itself discards blocks a week after the last of them.)
LONGEST_WRITE_MS = 7 * 24 * 3600 * 1000
#: Ids have the time of the store's clock, and a provider tells that of its own.
_CLOCKS_DIFFER_MS = 24 * 3600 * 1000
_LAST_MS = 16**12 - 1
_MAX_BEGINNINGS = 8

#: Segments that URLs resolve, characters that XML or HTTP cannot carry, and ones that providers refuse.
_NEVER_PLAIN = re.compile("(?:^|/)\\.{1,2}(?:/|$)|[\0-\x1f\x7f-\x9f\ufffe\uffff]")


class Layout(enum.StrEnum):
    """How a gateway names objects."""

    KEYS = "keys"
    BLOBS = "blobs"


@attrs.frozen
class Address:
    """A container (an S3 or GCS bucket, an Azure container) and a name in it."""

    container: str
    name: str


def _first_named(since_ms: int) -> int:
    return max(since_ms - LONGEST_WRITE_MS - _CLOCKS_DIFFER_MS, 0)


def _always(_name: str) -> bool:
    return True


@attrs.frozen(kw_only=True)
class Names:
    """`container` None is one for each bucket. `is_plain` says what else than the common rules a provider accepts."""

    container: str | None
    prefix: str = ""
    max_bytes: int = 1024
    is_plain: Callable[[str], bool] = _always

    def container_of(self, bucket: str) -> str:
        return self.container if self.container is not None else f"{self.prefix}{bucket}"

    def root_of(self, bucket: str) -> str:
        """What the names of all objects of a bucket begin with in the layout `keys`."""
        return f"{self.prefix}{bucket}/" if self.container is not None else ""

    def own(self, bucket: str) -> Address:
        """The folder of what belongs to no key: parts, staged uploads, the note of whose all this is."""
        return Address(self.container_of(bucket), f"{self.prefix if self.container is not None else ''}{OWN}")

    def of_key(self, bucket: str, key: str) -> Address:
        root = self.root_of(bucket)
        name = root + key
        if not self.can_be_native(bucket, name):
            name = f"{root}{OWN}keys/{hashlib.sha256(key.encode()).hexdigest()}"
        return Address(self.container_of(bucket), name)

    def can_be_native(self, bucket: str, name: str) -> bool:
        """Whether the object of this name is stored as it is called."""
        key = name.removeprefix(self.root_of(bucket))
        return (
            bool(key)
            and not key.startswith(OWN)
            and len(name.encode()) <= self.max_bytes
            and not _NEVER_PLAIN.search(name)
            and self.is_plain(name)
        )

    def of_blob(self, bucket: str, blob_id: BlobId) -> Address:
        """The name of a blob in the layout `blobs`."""
        folder = self.blobs_of(bucket)
        return Address(folder.container, folder.name + blob_id)

    def before_blobs_since(self, bucket: str, since_ms: int) -> str:
        """What the names of a bucket's blobs that were stored since then come after. A name is given before the bytes
        are sent, and that takes `LONGEST_WRITE_MS` at most."""
        return f"{self.blobs_of(bucket).name}{_first_named(since_ms):012x}"

    def blobs_between(self, bucket: str, since_ms: int, until_ms: int) -> list[Address]:
        """The same where a provider lists by beginnings alone: few beginnings, of somewhat more names."""
        folder = self.blobs_of(bucket)
        first, last = (f"{ms:012x}" for ms in (_first_named(since_ms), min(until_ms + _CLOCKS_DIFFER_MS, _LAST_MS)))
        for width in range(len(first), 0, -1):
            low, high = int(first[:width], 16), int(last[:width], 16)
            if high - low < _MAX_BEGINNINGS:
                return [Address(folder.container, f"{folder.name}{n:0{width}x}") for n in range(low, high + 1)]
        return [folder]

    def blobs_of(self, bucket: str) -> Address:
        """The folder of a bucket's blobs in the layout `blobs`."""
        return Address(self.container_of(bucket), f"{self.root_of(bucket)}{OWN}blobs/")

    def bucket_of_container(self, container: str) -> str:
        """Where each bucket has a container: whose it is."""
        return container.removeprefix(self.prefix)


class Naming(Protocol):
    """What a layout says of the names of objects."""

    def address_of(self, spec: BlobSpec) -> Address:
        """Where a new object is to be stored."""

    def folder_of(self, bucket: str) -> Address:
        """The folder of a bucket's objects."""

    def is_object(self, bucket: str, name: str) -> bool:
        """Whether what has this name in that folder can be an object of ours."""

    def is_native(self, bucket: str, name: str) -> bool:
        """Whether the name is the key. The metadata of all others hold their key."""


@attrs.frozen
class KeyNaming:
    """The layout `keys`."""

    names: Names

    def address_of(self, spec: BlobSpec) -> Address:
        return self.names.of_key(spec.bucket, spec.key)

    def folder_of(self, bucket: str) -> Address:
        return Address(self.names.container_of(bucket), self.names.root_of(bucket))

    def is_object(self, bucket: str, name: str) -> bool:
        return self.is_native(bucket, name) or name.startswith(f"{self.names.root_of(bucket)}{OWN}keys/")

    def is_native(self, bucket: str, name: str) -> bool:
        return self.names.can_be_native(bucket, name)


@attrs.frozen
class BlobNaming:
    """The layout `blobs`."""

    names: Names

    def address_of(self, spec: BlobSpec) -> Address:
        return self.names.of_blob(spec.bucket, spec.new_id())

    def folder_of(self, bucket: str) -> Address:
        return self.names.blobs_of(bucket)

    def is_object(self, bucket: str, name: str) -> bool:
        return True

    def is_native(self, bucket: str, name: str) -> bool:
        return False


def naming_of(layout: Layout, names: Names) -> Naming:
    return KeyNaming(names) if layout is Layout.KEYS else BlobNaming(names)

"""Under which name an object lies at a provider.

In a container for all buckets, `{prefix}{bucket}/` is the root of a bucket; in one for each bucket the container is
`{prefix}{bucket}` and the root is empty. In the layout `keys` an object is `{root}{key}`, unless the provider would
refuse or change that name, or it would lie in our own folder; then it is `{root}.bleepstore/keys/{SHA-256 of the key}`,
and its metadata hold the key. In the layout `blobs` it is `{root}.bleepstore/blobs/{a random number}`. What belongs
to no key lies in `{prefix}.bleepstore/`, or in the `.bleepstore/` of each bucket's container.
"""

from __future__ import annotations

import enum
import hashlib
import re
import secrets
from collections.abc import Callable

import attrs

OWN = ".bleepstore/"

#: Segments that URLs resolve, characters that XML or HTTP cannot carry, and ones that providers refuse.
_NEVER_PLAIN = re.compile("(?:^|/)\\.{1,2}(?:/|$)|[\0-\x1f\x7f-\x9f\ufffe\uffff]")


class Layout(enum.StrEnum):
    """How a gateway names objects."""

    KEYS = "keys"
    BLOBS = "blobs"


@attrs.frozen
class Place:
    """A container (an S3 or GCS bucket, an Azure container) and a name in it."""

    container: str
    name: str


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

    def own(self, bucket: str) -> Place:
        """The folder of what belongs to no key: parts, staged uploads, the note of whose all this is."""
        return Place(self.container_of(bucket), f"{self.prefix if self.container is not None else ''}{OWN}")

    def of_key(self, bucket: str, key: str) -> Place:
        root = self.root_of(bucket)
        name = root + key
        if not self.can_be_native(bucket, name):
            name = f"{root}{OWN}keys/{hashlib.sha256(key.encode()).hexdigest()}"
        return Place(self.container_of(bucket), name)

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

    def is_named_by_digest(self, bucket: str, name: str) -> bool:
        """Whether this is the name of an object whose key its metadata hold."""
        return name.startswith(f"{self.root_of(bucket)}{OWN}keys/")

    def new_blob(self, bucket: str) -> Place:
        """A name for a blob in the layout `blobs`, that nothing had or will have."""
        folder = self.blobs_of(bucket)
        return Place(folder.container, folder.name + secrets.token_hex(16))

    def blobs_of(self, bucket: str) -> Place:
        """The folder of a bucket's blobs in the layout `blobs`."""
        return Place(self.container_of(bucket), f"{self.root_of(bucket)}{OWN}blobs/")

    def objects_of(self, bucket: str, *, own: bool) -> Place:
        """The folder of a bucket's objects, in the layout `keys` if they have their own names."""
        return Place(self.container_of(bucket), self.root_of(bucket)) if own else self.blobs_of(bucket)

    def new_token(self) -> str:
        """A name for an upload's folder or blob, that nothing had or will have."""
        return secrets.token_hex(16)

    def bucket_of_container(self, container: str) -> str:
        """Where each bucket has a container: whose it is."""
        return container.removeprefix(self.prefix)

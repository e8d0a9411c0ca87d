"""Whose the blobs at a provider are. Two catalogs over the same ones would remove each other's, so a file in our own
folder says which store it is: one where all buckets share a container, else one in the container of each bucket."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable
from typing import Any

from bleepstore.backends.gateway.names import OWN, Address, Names
from bleepstore.backends.gateway.retry import ProviderBusy, ProviderUnavailable
from bleepstore.backends.gateway.settings import GatewaySettings
from bleepstore.errors import BucketAlreadyExists, S3Error, ServiceUnavailable

_log = logging.getLogger("bleepstore.gateway")

_ATTEMPTS = 3


class Claims:
    """`read` gives the bytes of a blob, or None if it is not there, `write` whether it wrote one: unless it overwrites,
    it does not where there is one already. `is_empty` says whether nothing is in a container."""

    def __init__(
        self,
        settings: GatewaySettings,
        names: Names,
        *,
        read: Callable[[Address], bytes | None],
        write: Callable[[Address, bytes, bool], bool],
        is_empty: Callable[[str], bool],
    ) -> None:
        self._settings = settings
        self._names = names
        self._read = read
        self._write = write
        self._is_empty = is_empty
        self._store_id: str | None = None  # None: a catalog in memory, which takes what it finds and removes no orphan
        self._take_over = False
        self._has_bucket: Callable[[str], bool] = lambda _bucket: True

    def address(self, bucket: str) -> Address:
        """Where the file is."""
        own = self._names.own(bucket)
        return Address(own.container, f"{own.name}store.json")

    def claim(self, store_id: str, has_bucket: Callable[[str], bool], *, take_over: bool) -> str:
        """Whose the common container is; one for each bucket is claimed when it is made or adopted."""
        self._store_id, self._take_over, self._has_bucket = store_id, take_over, has_bucket
        return store_id if self._settings.container is None else self._claim("", store_id)

    def claim_bucket(self, bucket: str, *, is_new: bool) -> None:
        """Claim the container of a bucket. Raises BucketAlreadyExists if it is another store's, or has objects in it
        and no claim: those come in by an adoption, not by a creation, whose bucket is empty."""
        store_id = self._store_id
        if self._settings.container is not None or store_id is None:
            return
        is_stray = not is_new and not self._take_over and self._owner(bucket) is None
        if is_stray and not self._is_empty(self._names.container_of(bucket)):
            raise BucketAlreadyExists(bucket)
        if self._claim(bucket, store_id) != store_id:
            raise BucketAlreadyExists(bucket)

    def is_emptied(self, bucket: str, names: Iterable[str]) -> bool | None:
        """Of the names of what is in the container of a bucket that was deleted: whether nothing is left but our file.
        None if others have something there, for then it stays."""
        file = self.address(bucket).name
        left = next((name for name in names if name != file), None)
        if left is None:
            if self._store_id is None or self._owner(bucket) in (None, self._store_id):
                return True
            _log.warning("the container %s is left: it is another catalog's now", self._names.container_of(bucket))
            return None
        if left.startswith(OWN):
            return False
        _log.warning("the container %s is left: others have objects in it", self._names.container_of(bucket))
        return None

    def is_ours(self, bucket: str) -> bool:
        """Whether what is stored in our folder for this bucket is of this store."""
        if self._settings.container is not None or self._store_id is None:
            return True
        try:
            return self._owner(bucket) == self._store_id
        except (ProviderBusy, ProviderUnavailable):
            raise
        except S3Error:
            # The container of somebody else, called as if it were one of ours, which must not end the sweep of ours.
            if self._has_bucket(bucket):
                raise
            return False

    def belongs_to_another_store(self, bucket: str) -> bool:
        """Whether a bucket that is stored at the provider cannot be adopted: it is another store's, or somebody
        else's."""
        if self._settings.container is not None or self._store_id is None or self._take_over:
            return False
        try:
            return self._owner(bucket) not in (None, self._store_id)
        except (ProviderBusy, ProviderUnavailable):
            raise
        except S3Error:
            return True

    def _claim(self, bucket: str, store_id: str) -> str:
        body = json.dumps({"store": store_id, "layout": self._settings.layout.value}).encode()
        for _ in range(_ATTEMPTS):  # for it may be made, or removed, at this moment
            owner = None if self._take_over else self._owner(bucket)
            if owner is not None:
                return owner
            if self._write(self.address(bucket), body, self._take_over):
                return store_id
        raise ServiceUnavailable(f"Others write {self.address(bucket).name} at this moment: try again.")

    def _owner(self, bucket: str) -> str | None:
        found = self._read(self.address(bucket))
        if found is None:
            return None
        try:
            noted: Any = json.loads(found)
            return str(noted["store"])
        except (ValueError, TypeError, KeyError):
            return ""  # of something else, not ours


class ClaimVerbs:
    """The verbs of a `Gateway` that are about claims."""

    _claims: Claims

    def claim(
        self, store_id: str, has_bucket: Callable[[str], bool] = lambda _bucket: True, *, take_over: bool = False
    ) -> str:
        return self._claims.claim(store_id, has_bucket, take_over=take_over)

    def claim_bucket(self, bucket: str) -> None:
        self._claims.claim_bucket(bucket, is_new=True)

    def belongs_to_another_store(self, bucket: str) -> bool:
        return self._claims.belongs_to_another_store(bucket)

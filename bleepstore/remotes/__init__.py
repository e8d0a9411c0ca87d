"""Buckets at other endpoints of S3 that versions are copied to: what such a bucket does, and how one is opened.

`s3+https://ACCESS_KEY@HOST[:PORT]/BUCKET[/PREFIX]` names one; the secret comes from a file or the environment
(`password_file`, `password_env`). Without an access key boto3 looks for credentials. `{bucket}` in the prefix is the
name of the bucket that is copied. Options: `region`, `account` (whose buckets may be copied there: an account's id, or
`*`; without it those of the store's owner), `ca_file`, `timeout`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, Protocol

import attrs

from bleepstore.errors import StoreError
from bleepstore.model import ObjectVersion

#: User metadata of a copy: of which version it is one, by its id. The copy of an object that has it is another object.
MARK = "bleepstore-replica-of"


def without_mark(metadata: Mapping[str, str]) -> Mapping[str, str]:
    """The metadata that another object gets of a copy."""
    return {name: value for name, value in metadata.items() if name != MARK} if MARK in metadata else metadata


SCHEMES = ("s3+http", "s3+https")


class RemoteRefused(StoreError):
    """The endpoint refuses this object, and would again."""


@attrs.frozen
class RemoteLatest:
    """What is the latest version of a key there: its id, where versions have one, and its `MARK`."""

    version_id: str | None
    mark: str | None
    is_delete_marker: bool = False


@attrs.frozen(kw_only=True)
class RemoteCopy:
    """What a version is to be there."""

    version: ObjectVersion
    mark: str
    storage_class: str
    key_id: str | None = None


class RemoteBucket(Protocol):
    """One bucket, for one thread at a time. It raises RemoteRefused for what would be refused again, and whatever its
    client raises where it may not be."""

    def latest(self, key: str) -> RemoteLatest | None:
        """None: there is nothing under this key."""

    def put(self, key: str, copy: RemoteCopy, body: BinaryIO) -> str | None:
        """Store a version; its id there, if versions have one."""

    def update(self, key: str, version_id: str | None, version: ObjectVersion) -> None:
        """Give what was stored the tags and the locks that the version has by now."""

    def delete(self, key: str) -> str | None:
        """Make a delete marker; its id, if versions are kept there."""

    def close(self) -> None:
        """Release connections. Closing twice is allowed."""


#: Opens the bucket for the copies of the bucket of this name.
OpenRemote = Callable[[str], RemoteBucket]


@attrs.frozen
class Remote:
    """A destination: what opens it, and the account whose buckets may be copied there: None the store's owner's, `*`
    any."""

    open: OpenRemote
    account: str | None = None

    def serves(self, account_id: str, store_owner_id: str) -> bool:
        return self.account == "*" or account_id == (self.account or store_owner_id)


def open_remote(url: str) -> Remote:
    """The destination at this URL. Raises StoreError for a URL that names nothing, and where boto3 is not installed."""
    scheme = url.partition(":")[0].lower()
    if scheme not in SCHEMES:
        raise StoreError(f"objects cannot be copied to {scheme!r}: the schemes are {', '.join(SCHEMES)}")
    try:
        module: Any = importlib.import_module("bleepstore.remotes.aws")
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("bleepstore"):
            raise
        raise StoreError(f"{scheme}: copies need the package {error.name}: pip install 'bleepstore[aws]'") from error
    made: Remote = module.remote(url)
    return made

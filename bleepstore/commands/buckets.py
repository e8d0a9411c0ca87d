"""Commands on buckets."""

from __future__ import annotations

import attrs

from bleepstore.commands.change import Change
from bleepstore.configurations import ConfigurationKind
from bleepstore.events import EventRule
from bleepstore.model import (
    Acl,
    BucketSetting,
    Owner,
    Versioning,
)
from bleepstore.replication import ReplicationRule


@attrs.frozen(kw_only=True)
class CreateBucket(Change):
    """With these settings. One that has object lock keeps versions, too."""

    request_id: str
    time_ms: int
    bucket: str
    owner: Owner
    location: str
    acl: Acl
    settings: tuple[BucketSetting, ...] = ()


@attrs.frozen(kw_only=True)
class DeleteBucket(Change):
    frees_space = True

    request_id: str
    time_ms: int
    bucket: str
    bucket_id: int | None = None


@attrs.frozen(kw_only=True)
class PutBucketAcl(Change):
    request_id: str
    time_ms: int
    bucket: str
    bucket_id: int | None = None
    acl: Acl


@attrs.frozen(kw_only=True)
class PutBucketSetting(Change):
    """Replace one of the settings of a bucket, or remove it, if its value is None. `makes_public`: the value is a
    policy that makes the bucket public, which the bucket may block by then."""

    request_id: str
    time_ms: int
    bucket: str
    bucket_id: int | None = None
    setting: BucketSetting
    makes_public: bool = False

    @property
    def frees_space(self) -> bool:  # type: ignore[override]  # it depends on the fields
        return self.setting.value is None


@attrs.frozen(kw_only=True)
class PutBucketConfiguration(Change):
    """Replace one of the configurations of a bucket that are stored as they are given, or remove it, if `document` is
    None. `document` is JSON; `id` is "" for a kind of which a bucket has one. `rules` are what it says of events,
    `replication` what it says of copies."""

    request_id: str
    time_ms: int
    bucket: str
    bucket_id: int | None = None
    kind: ConfigurationKind
    id: str = ""
    document: str | None
    rules: tuple[EventRule, ...] = ()
    replication: tuple[ReplicationRule, ...] = ()

    @property
    def frees_space(self) -> bool:  # type: ignore[override]  # it depends on the fields
        return self.document is None


@attrs.frozen(kw_only=True)
class PutBucketVersioning(Change):
    request_id: str
    time_ms: int
    bucket: str
    bucket_id: int | None = None
    versioning: Versioning

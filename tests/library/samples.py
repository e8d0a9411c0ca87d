"""One full and one minimal record of every command and result: what the golden files hold, and more tests use."""

from __future__ import annotations

import inspect
from typing import Any, get_args

import attrs

from bleepstore import commands as c
from bleepstore import errors
from bleepstore.codec.forms import RESULT_FORMS
from bleepstore.commands import Command, Result
from bleepstore.configurations import ConfigurationKind
from bleepstore.digests import Algorithm
from bleepstore.encryption import Encryption, EncryptionKind
from bleepstore.errors import S3Error
from bleepstore.events import Event, EventRule, FailedReplication, Origin
from bleepstore.lifecycle_due import Act
from bleepstore.model import (
    NO_ATTRIBUTES,
    Acl,
    BlobRef,
    BucketSetting,
    Checksum,
    ChecksumType,
    Grant,
    Group,
    Inline,
    ObjectAttributes,
    Owner,
    PartSummary,
    Permission,
    Restoration,
    SystemMetadata,
    UploadToken,
    Versioning,
)
from bleepstore.object_lock import Retention, RetentionMode
from bleepstore.ownership import ObjectOwnership
from bleepstore.preconditions import WriteCondition
from bleepstore.quotas import Quota, QuotaScope
from bleepstore.rates import Rate, RateScope
from bleepstore.replication import Replica, Replication, ReplicationRule, ReplicationStatus

TIME = 1_700_000_000_123
ALICE = Owner("alice-id", "Alice")
BOB = Owner("bob-id", "Böb \U0001f600")
ACL = Acl(
    "alice-id",
    (
        Grant("alice-id", Permission.FULL_CONTROL),
        Grant(Group.ALL_USERS, Permission.READ),
        Grant("group:odd:id", Permission.WRITE_ACP),
    ),
)
SYSTEM = SystemMetadata(
    content_type="text/plain",
    content_encoding="gzip",
    content_language="de",
    content_disposition='attachment; filename="ü.txt"',
    cache_control="no-store",
    expires="Thu, 01 Dec 2033 16:00:00 GMT",
    website_redirect_location="/other",
)
ENCRYPTION = Encryption(
    kind=EncryptionKind.NAMED,
    wrapped_key="AAECAwQFBgc=",
    master_key="orders:0011223344556677",
    key_id="orders",
    context={"b": "2", "a": "ü"},
    bucket_key=True,
    part_numbers=(2, 5),
)
ORIGIN = Origin(event="ObjectCreated:Copy", request_id="4442587FB7D0A2F9", principal="bob-id", source_ip="192.0.2.3")
RULE = EventRule(
    source="notification",
    id="new photos",
    destination="orders",
    events=("ObjectCreated:*", "ObjectAcl:Put"),
    prefix="in/",
    suffix=".jpg",
)
REPLICATION_RULE = ReplicationRule(
    id="r",
    destination="copies",
    actor="arn:aws:iam::alice:role/copies",
    is_enabled=False,
    is_remote=True,
    priority=3,
    prefix="in/",
    tags={"a": "1"},
    excluded_prefixes=("in/x", "in/y"),
    excluded_tags=(("b", "2"),),
    delete_markers=True,
    named_keys=True,
    replica_changes=True,
    storage_class="GLACIER",
    key_id="orders",
    takes_ownership=True,
    account="alice",
)
REPLICATION = Replication((Replica("copies", ReplicationStatus.FAILED, "w", "AccessDenied: no"),), is_replica=True)
RETENTION = Retention(RetentionMode.COMPLIANCE, TIME + 1)
KEY = "ü/\U0001f600 \n\x01"
MD5 = "8d777f385d3dfec8815d20f7496026dc"
CRC = Checksum(Algorithm.CRC64NVME, "rosUhgp5mIg=")
COMPOSITE = Checksum(Algorithm.SHA256, "n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=", ChecksumType.COMPOSITE)


def _stamp(number: int) -> dict[str, Any]:
    return {"request_id": f"018bcfe568{number:02x}-0011223344556677-{number:x}", "time_ms": TIME + number}


def _upload(number: int) -> dict[str, Any]:
    return {**_stamp(number), "bucket": "photos", "bucket_id": 7, "key": KEY, "upload_id": "u1"}


#: For each class: (with every field given, with only what is required).
COMMANDS: dict[type, tuple[Command, Command]] = {
    type(pair[0]): pair
    for pair in (
        (
            c.CreateBucket(
                **_stamp(1),
                bucket="photos",
                owner=ALICE,
                location="eu-central-1",
                acl=ACL,
                settings=(BucketSetting("ownership", ObjectOwnership.OBJECT_WRITER),),
            ),
            c.CreateBucket(**_stamp(1), bucket="photos", owner=Owner("a"), location="", acl=Acl("a", ())),
        ),
        (c.DeleteBucket(**_stamp(2), bucket="photos", bucket_id=7), c.DeleteBucket(**_stamp(2), bucket="b")),
        (
            c.PutBucketAcl(**_stamp(3), bucket="photos", bucket_id=7, acl=ACL),
            c.PutBucketAcl(**_stamp(3), bucket="photos", acl=Acl.private("alice-id")),
        ),
        (
            c.PutBucketSetting(
                **_stamp(18),
                bucket="photos",
                bucket_id=7,
                setting=BucketSetting("tags", {"b": "2", "a": "ü"}),
                makes_public=True,
            ),
            c.PutBucketSetting(**_stamp(18), bucket="photos", setting=BucketSetting("tags", None)),
        ),
        (
            c.PutBucketConfiguration(
                **_stamp(24),
                bucket="photos",
                bucket_id=7,
                kind=ConfigurationKind.METRICS,
                id="all",
                document='{"Id":"all","Filter":{"Prefix":"ü"}}',
                rules=(RULE,),
                replication=(REPLICATION_RULE,),
            ),
            c.PutBucketConfiguration(**_stamp(24), bucket="photos", kind=ConfigurationKind.WEBSITE, document=None),
        ),
        (
            c.PutBucketVersioning(**_stamp(19), bucket="photos", bucket_id=7, versioning=Versioning.ENABLED),
            c.PutBucketVersioning(**_stamp(19), bucket="photos", versioning=Versioning.SUSPENDED),
        ),
        (
            c.PutObject(
                **_stamp(4),
                bucket="photos",
                bucket_id=7,
                key=KEY,
                owner=BOB,
                creator_id="arn:aws:iam::bob-id:user/ann",
                size=5 * 1024**4,
                etag=MD5 + "-2",
                data=BlobRef("018bcfe56800"),
                stored_ms=TIME - 1,
                attributes=ObjectAttributes(
                    system=SYSTEM,
                    metadata={"b": "2", "a_b": "ü€", "empty": ""},
                    storage_class="STANDARD_IA",
                    grants=ACL.grants,
                    tags={"b": "2", "a": "ü"},
                    restoration=Restoration(TIME, TIME + 1),
                    retention=RETENTION,
                    legal_hold=False,
                    encryption=ENCRYPTION,
                    replication=REPLICATION,
                ),
                checksum=COMPOSITE,
                crc64nvme="AAAAAAAAAAA=",
                parts=(PartSummary(1, 5 * 1024**2, "AAAA", "rosUhgp5mIg="), PartSummary(2, 7)),
                condition=WriteCondition(if_match=MD5, replaces_only_of="bob-id"),
                origin=ORIGIN,
            ),
            c.PutObject(
                **_stamp(4), bucket="photos", key="k", owner=ALICE, size=4, etag=MD5, data=Inline(b"\x00\xffda")
            ),
        ),
        (
            c.DeleteObject(
                **_stamp(5),
                bucket="photos",
                bucket_id=7,
                key=KEY,
                version_id="null",
                owner=BOB,
                creator_id="arn:aws:iam::bob-id:user/ann",
                condition=WriteCondition(if_match="*"),
                bypasses_governance=True,
                origin=ORIGIN,
            ),
            c.DeleteObject(**_stamp(5), bucket="photos", key="k"),
        ),
        (
            c.DeleteObjects(
                **_stamp(6),
                bucket="photos",
                bucket_id=7,
                owner=BOB,
                creator_id="arn:aws:iam::bob-id:user/ann",
                bypasses_governance=True,
                entries=(
                    c.DeleteEntry(key=KEY, version_id="null", condition=WriteCondition(if_match=MD5)),
                    c.DeleteEntry(key="k"),
                ),
                origin=ORIGIN,
            ),
            c.DeleteObjects(**_stamp(6), bucket="photos", entries=()),
        ),
        (
            c.ApplyLifecycle(
                **_stamp(22),
                bucket="photos",
                bucket_id=7,
                rules_digest="9f86d081",
                entries=(
                    c.LifecycleEntry(
                        key=KEY,
                        sequence=TIME,
                        act=Act.TRANSITION,
                        storage_class="GLACIER",
                        expected_tags={"b": "2", "a": "ü"},
                        newer=3,
                    ),
                    c.LifecycleEntry(key="k", sequence=1, act=Act.EXPIRE),
                ),
            ),
            c.ApplyLifecycle(**_stamp(22), bucket="photos", rules_digest="", entries=()),
        ),
        (
            c.PutObjectAcl(
                **_stamp(7),
                bucket="photos",
                bucket_id=7,
                key=KEY,
                version_id="null",
                expected_sequence=9,
                expected_acl=ACL,
                acl=ACL,
                origin=ORIGIN,
            ),
            c.PutObjectAcl(**_stamp(7), bucket="photos", key="k", acl=Acl.private("alice-id")),
        ),
        (
            c.PutObjectTags(
                **_stamp(20),
                bucket="photos",
                bucket_id=7,
                key=KEY,
                version_id="null",
                expected_sequence=5,
                tags={"b": "2", "a": "ü"},
                origin=ORIGIN,
            ),
            c.PutObjectTags(**_stamp(20), bucket="photos", key="k", tags={}),
        ),
        (
            c.PutObjectRetention(
                **_stamp(22),
                bucket="photos",
                bucket_id=7,
                key=KEY,
                version_id="null",
                expected_sequence=7,
                bypasses_governance=True,
                retention=RETENTION,
                origin=ORIGIN,
            ),
            c.PutObjectRetention(**_stamp(22), bucket="photos", key="k", retention=None),
        ),
        (
            c.PutObjectLegalHold(
                **_stamp(23),
                bucket="photos",
                bucket_id=7,
                key=KEY,
                version_id="null",
                expected_sequence=7,
                legal_hold=True,
            ),
            c.PutObjectLegalHold(**_stamp(23), bucket="photos", key="k", legal_hold=False),
        ),
        (
            c.PutObjectEncryption(
                **_stamp(33),
                bucket="photos",
                bucket_id=7,
                key=KEY,
                version_id="null",
                expected_sequence=7,
                expected_wrapped_key="b2xk",
                encryption=Encryption(
                    kind=EncryptionKind.NAMED,
                    wrapped_key="bmV3",
                    master_key="orders:0011223344556677",
                    key_id="orders",
                    context={"b": "2", "a": "ü"},
                    bucket_key=True,
                    part_numbers=(2, 9),
                ),
            ),
            c.PutObjectEncryption(
                **_stamp(33),
                bucket="photos",
                key="k",
                expected_wrapped_key="b2xk",
                encryption=Encryption(kind=EncryptionKind.NAMED, wrapped_key="bmV3"),
            ),
        ),
        (
            c.RestoreObject(
                **_stamp(21),
                bucket="photos",
                bucket_id=7,
                key=KEY,
                version_id="null",
                expected_sequence=5,
                days=30,
                delay_ms=5000,
                origin=ORIGIN,
            ),
            c.RestoreObject(**_stamp(21), bucket="photos", key="k", days=1),
        ),
        (
            c.CreateUpload(
                **_upload(8),
                owner=ALICE,
                initiator=BOB,
                attributes=ObjectAttributes(
                    system=SYSTEM, metadata={"a": "1"}, storage_class="GLACIER", grants=ACL.grants
                ),
                checksum_algorithm=Algorithm.SHA256,
                checksum_type=ChecksumType.COMPOSITE,
                backend_token=UploadToken("token"),
            ),
            c.CreateUpload(**_upload(8), owner=ALICE, initiator=ALICE),
        ),
        (
            c.RegisterPart(
                **_upload(9),
                number=10_000,
                size=7,
                etag=MD5,
                checksum=CRC,
                crc64nvme="rosUhgp5mIg=",
                handle="018bcfe56801",
                stored_ms=TIME,
            ),
            c.RegisterPart(**_upload(9), number=1, size=0, etag=MD5, handle="h", stored_ms=0),
        ),
        (
            c.CompleteUpload(
                **_upload(10),
                assembled=(c.AssembledPart(number=2, handle="h2"), c.AssembledPart(number=7, handle="h7")),
                parts=(PartSummary(1, 5, "AAAA"), PartSummary(2, 7, "BBBB")),
                size=12,
                etag=MD5 + "-2",
                checksum=COMPOSITE,
                crc64nvme="rosUhgp5mIg=",
                handle="h",
                stored_ms=TIME,
                condition=WriteCondition(if_none_match=True),
                origin=ORIGIN,
            ),
            c.CompleteUpload(**_upload(10), assembled=(), parts=(), size=0, etag=MD5, handle="h", stored_ms=0),
        ),
        (c.AbortUpload(**_upload(11)), c.AbortUpload(**_upload(12))),
        (
            c.FollowProvider(
                **_stamp(18),
                bucket="photos",
                bucket_id=7,
                key=KEY,
                expected_current='["container","name",7]',
                written=c.PutObject(
                    **_stamp(4), bucket="photos", key=KEY, owner=ALICE, size=4, etag=MD5, data=BlobRef("[8]")
                ),
                upload_id="u1",
                origin=ORIGIN,
            ),
            c.FollowProvider(**_stamp(18), bucket="photos", key="k", expected_current=None),
        ),
        (
            c.PutCredential(
                **_stamp(13),
                access_key="AKIA",
                secret_key="s/+",
                owner=ALICE,
                email="alice@example.com",
                user="ann",
                sealed_by="secrets:0011223344556677",
            ),
            c.PutCredential(**_stamp(13), access_key="AKIA", secret_key="s", owner=Owner("a")),
        ),
        (
            c.DisableCredential(**_stamp(14), access_key="AKIA"),
            c.DisableCredential(**_stamp(14), access_key="a"),
        ),
        (
            c.PutRateLimit(**_stamp(27), scope=RateScope.KEY, name="AKIA", rate=Rate(requests=10, bytes=2**20)),
            c.PutRateLimit(**_stamp(27), scope=RateScope.ACCOUNT, name="a", rate=None),
        ),
        (
            c.DeleteCredential(**_stamp(14), access_key="AKIA"),
            c.DeleteCredential(**_stamp(14), access_key="a"),
        ),
        (
            c.ReplaceSecret(
                **_stamp(14), access_key="AKIA", expected="s/+", secret_key="c2VhbGVk", sealed_by="secrets:0011"
            ),
            c.ReplaceSecret(**_stamp(14), access_key="a", expected="c2VhbGVk", secret_key="s", sealed_by=None),
        ),
        (
            c.CreateUser(**_stamp(14), account=ALICE, name="ann", path="/lab/", user_id="AIDA234567"),
            c.CreateUser(**_stamp(14), account=Owner("a"), name="a", path="/", user_id="A"),
        ),
        (
            c.DeleteUser(**_stamp(14), account_id="alice", name="ann"),
            c.DeleteUser(**_stamp(14), account_id="a", name="a"),
        ),
        (
            c.PutUserPolicy(**_stamp(14), account_id="alice", user="ann", policy="reads", document='{"Statement":[]}'),
            c.PutUserPolicy(**_stamp(14), account_id="a", user="a", policy="p", document=None),
        ),
        (
            c.PutQuota(
                **_stamp(25), scope=QuotaScope.ACCOUNT, name="alice-id", quota=Quota(max_bytes=2**40, max_objects=0)
            ),
            c.PutQuota(**_stamp(25), scope=QuotaScope.BUCKET, name="photos", quota=None),
        ),
        (c.RecountUsage(**_stamp(26)), c.RecountUsage(**_stamp(26))),
        (
            c.PutRole(
                **_stamp(19),
                name="reader",
                role_id="AROAIBMEXAMPLE",
                account=ALICE,
                trust_policy='{"Statement": []}',
                policies={"b": "{}", "a": '{"Statement": []}'},
                max_session_seconds=43200,
            ),
            c.PutRole(
                **_stamp(19),
                name="r",
                role_id="AROA",
                account=Owner("a"),
                trust_policy="",
                policies={},
                max_session_seconds=3600,
            ),
        ),
        (
            c.DeleteRole(**_stamp(20), account_id="alice", name="reader"),
            c.DeleteRole(**_stamp(20), account_id="a", name="r"),
        ),
        (
            c.PutSessionKey(**_stamp(21), key="a2V5", sealed_by="secrets:1", expected="b2xk"),
            c.PutSessionKey(**_stamp(21), key=""),
        ),
        (
            c.RevokeSessions(**_stamp(22), principal="account:alice", until_ms=TIME),
            c.RevokeSessions(**_stamp(22), principal="role:AROA", until_ms=0),
        ),
        (c.BeginSweep(**_stamp(15), until_ms=TIME), c.BeginSweep(**_stamp(15), until_ms=0)),
        (c.EndSweep(**_stamp(16), until_ms=TIME), c.EndSweep(**_stamp(16), until_ms=0)),
        (
            c.ForgetGarbage(**_stamp(17), garbage_ids=(1, 2, 2**40)),
            c.ForgetGarbage(**_stamp(17), garbage_ids=()),
        ),
        (
            c.ForgetEvents(**_stamp(25), destination="orders", through=2**40),
            c.ForgetEvents(**_stamp(25), destination="o", through=0),
        ),
        (c.EndRestorations(**_stamp(32), until_ms=TIME), c.EndRestorations(**_stamp(32), until_ms=0)),
        (
            c.PutReplica(
                **_stamp(28),
                bucket="copies",
                bucket_id=8,
                key=KEY,
                version_id="v1",
                sequence=TIME + 1,
                owner=ALICE,
                creator_id="arn:aws:iam::bob-id:user/ann",
                modified_ms=TIME,
                written=c.PutObject(
                    **_stamp(4), bucket="copies", key=KEY, owner=ALICE, size=4, etag=MD5, data=BlobRef("h")
                ),
            ),
            c.PutReplica(
                **_stamp(28), bucket="copies", key="k", version_id="v1", sequence=1, owner=Owner("a"), modified_ms=0
            ),
        ),
        (
            c.PutReplicaAttributes(
                **_stamp(29),
                bucket="copies",
                bucket_id=8,
                key=KEY,
                version_id="v1",
                attributes=ObjectAttributes(tags={"a": "1"}, retention=RETENTION, replication=REPLICATION),
                keeps_acl=True,
            ),
            c.PutReplicaAttributes(**_stamp(29), bucket="copies", key="k", version_id="null", attributes=NO_ATTRIBUTES),
        ),
        (
            c.EndReplications(
                **_stamp(30),
                destination="copies",
                outcomes=(
                    c.ReplicationOutcome(
                        number=2**50, revision=2**50 + 1, status=ReplicationStatus.FAILED, version_id="w", error="e"
                    ),
                    c.ReplicationOutcome(number=1, revision=1, status=None),
                ),
            ),
            c.EndReplications(**_stamp(30), destination="copies", outcomes=()),
        ),
        (
            c.QueueReplications(**_stamp(31), bucket="photos", bucket_id=7, versions=((KEY, "v1"), ("k", "null"))),
            c.QueueReplications(**_stamp(31), bucket="photos", versions=()),
        ),
    )
}

#: An event as the outbox keeps it, whole and with only what is required.
EVENTS = (
    Event(
        name="ObjectRestore:Completed",
        time_ms=TIME,
        bucket="photos",
        owner_id="alice-id",
        location="eu-central-1",
        key=KEY,
        sequencer=2**50,
        version_id="v1",
        size=5,
        etag=MD5,
        origin=ORIGIN,
        storage_class="GLACIER",
        restored_until_ms=TIME + 1,
        replication=FailedReplication(rule_id="r", destination="copies", reason="AccessDenied: no"),
    ),
    Event(name="ObjectRemoved:Delete", time_ms=0, bucket="photos", owner_id="a", location="", key="k", sequencer=1),
)

RESULTS: dict[type, tuple[Result, Result]] = {
    c.Done: (c.Done(), c.Done()),
    c.Written: (c.Written("v1", TIME, RETENTION), c.Written(None, 0)),
    c.Restored: (c.Restored(Restoration(TIME, TIME + 1), True), c.Restored(Restoration(0, 1), False)),
    c.LifecycleApplied: (c.LifecycleApplied(2, 1), c.LifecycleApplied(0, 0)),
    c.Removed: (c.Removed(KEY, "null", "null"), c.Removed("k")),
    c.RemovedMany: (
        c.RemovedMany((c.Removed("k"), errors.PreconditionFailed(errors.Condition.IF_MATCH, "photos", "k"))),
        c.RemovedMany(()),
    ),
}


def _value(attribute: attrs.Attribute[Any]) -> Any:
    kind = str(attribute.type)
    if "Condition" in kind:
        return errors.Condition.IF_NONE_MATCH
    return 7 if "int" in kind else True if "bool" in kind else f"<{attribute.name}> ü"


def sample_error(cls: type[S3Error], *, full: bool) -> S3Error:
    wanted = [a for a in attrs.fields(cls) if full or a.default is attrs.NOTHING]
    return cls(**{a.name: _value(a) for a in wanted})


RESULTS.update(
    (cls, (sample_error(cls, full=True), sample_error(cls, full=False)))
    for cls in (form.struct.cls for form in RESULT_FORMS)
    if issubclass(cls, S3Error)
)

assert set(COMMANDS) == set(get_args(Command)), "a command lacks its sample"
assert all(inspect.isclass(cls) for cls in RESULTS)

"""Policies with the features of those that projects tell their users to set, written anew: accepted, and decided.

A project has a policy of the bucket `photos`, which belongs to alice, or one of `ann`, a user of hers, or both. `bob`
and `carol` are accounts that own nothing here.
"""

from __future__ import annotations

import json
from typing import Any

import attrs
import pytest

import bleepstore
from bleepstore import ANONYMOUS, Action, Caller, Owner, User
from bleepstore.access import decide, is_of_object, is_public
from bleepstore.access.policies import compile_policy
from tests.library.test_policy_evaluation import BUCKET, OBJECTS, allow, bucket_with, deny, object_of

ALICE, BOB, CAROL = Owner("alice"), Owner("bob"), Owner("carol")
ANN = User(account=ALICE, name="ann", id="AIDAANN")
ANNS_ARN = "arn:aws:iam::alice:user/ann"
Statements = list[dict[str, Any]]


@attrs.frozen
class Ask:
    """A request, and whether it is allowed. `known` is what is known of the caller, `sent` what its request has."""

    expected: bool
    who: str
    action: str
    key: str | None = None
    sent: dict[str, str] = attrs.field(factory=dict)
    known: dict[str, Any] = attrs.field(factory=dict)


@attrs.frozen
class Project:
    asks: list[Ask]
    of_bucket: Statements = attrs.field(factory=list)
    of_ann: Statements = attrs.field(factory=list)
    is_public: bool = False


def yes(who: str, action: str, key: str | None = None, **more: Any) -> Ask:
    return Ask(True, who, action, key, more.pop("sent", {}), more)


def no(who: str, action: str, key: str | None = None, **more: Any) -> Ask:
    return Ask(False, who, action, key, more.pop("sent", {}), more)


def own(actions: Any, *resources: str, **conditions: Any) -> dict[str, Any]:
    """A statement of a user's policy."""
    written = {"Effect": "Allow", "Action": actions, "Resource": list(resources)}
    return {**written, "Condition": conditions} if conditions else written


PLAIN_HTTP = deny("s3:*", [BUCKET, OBJECTS], Sid="PlainHttp", Condition={"Bool": {"aws:SecureTransport": "false"}})
TLS: dict[str, Any] = {"secure": True}
PLAIN: dict[str, Any] = {"secure": False}
OFFICE: dict[str, Any] = {"source_ip": "203.0.113.7"}
ELSEWHERE: dict[str, Any] = {"source_ip": "198.51.100.7"}
OFFICES = ["203.0.113.0/24", "2001:db8::/32"]
BY_BOB = {"AWS": "arn:aws:iam::bob:root"}

PROJECTS: dict[str, Project] = {
    "Velero": Project(
        of_ann=[
            own(["s3:GetObject", "s3:DeleteObject", "s3:PutObject", "s3:PutObjectTagging", "s3:AbortMultipartUpload",
                 "s3:ListMultipartUploadParts"], OBJECTS),
            own("s3:ListBucket", BUCKET),
        ],
        asks=[
            yes("ann", "s3:PutObject", "backups/b1/backup.json"), yes("ann", "s3:GetObject", "backups/b1/logs.gz"),
            yes("ann", "s3:DeleteObject", "backups/b1/logs.gz"), yes("ann", "s3:ListBucket"),
            yes("ann", "s3:PutObjectTagging", "backups/b1/logs.gz"), no("ann", "s3:DeleteBucket"),
            no("ann", "s3:GetObjectVersion", "k", sent={}), no("bob", "s3:ListBucket"),
        ],
    ),
    "Loki": Project(
        of_ann=[own(["s3:ListBucket", "s3:PutObject", "s3:GetObject", "s3:DeleteObject"], BUCKET, OBJECTS)],
        asks=[
            yes("ann", "s3:PutObject", "fake/18a/chunk"), yes("ann", "s3:ListBucket", sent={"prefix": "index/"}),
            yes("ann", "s3:DeleteObject", "index/1"), no("ann", "s3:PutObjectAcl", "index/1"),
            no("ann", "s3:PutBucketPolicy"), no("carol", "s3:GetObject", "index/1"),
        ],
    ),
    "Thanos": Project(
        of_ann=[own(["s3:ListBucket", "s3:GetObject", "s3:DeleteObject", "s3:PutObject"], BUCKET + "/*", BUCKET)],
        asks=[
            yes("ann", "s3:PutObject", "01HZ/chunks/000001"), yes("ann", "s3:GetObject", "01HZ/meta.json"),
            yes("ann", "s3:DeleteObject", "01HZ/meta.json"), yes("ann", "s3:ListBucket"),
            no("ann", "s3:ListBucketMultipartUploads"), no("anybody", "s3:GetObject", "01HZ/meta.json"),
        ],
    ),
    "Cortex": Project(
        of_ann=[
            own("s3:ListBucket", BUCKET, StringLike={"s3:prefix": ["blocks/*", "rules/*"]}),
            own(["s3:PutObject", "s3:GetObject", "s3:DeleteObject"], BUCKET + "/blocks/*", BUCKET + "/rules/*"),
        ],
        asks=[
            yes("ann", "s3:ListBucket", sent={"prefix": "blocks/tenant/"}), no("ann", "s3:ListBucket"),
            no("ann", "s3:ListBucket", sent={"prefix": "alerts/"}), yes("ann", "s3:PutObject", "rules/tenant/group"),
            no("ann", "s3:PutObject", "alerts/tenant"), no("ann", "s3:GetObject", "blocks"),
        ],
    ),
    "Airflow": Project(
        of_ann=[
            own("s3:ListBucket", BUCKET, StringEquals={"s3:prefix": ["logs", "logs/"], "s3:delimiter": "/"}),
            own(["s3:PutObject*", "s3:GetObject*"], BUCKET + "/logs/*"),
        ],
        asks=[
            yes("ann", "s3:PutObject", "logs/dag_id=a/run_id=b/attempt=1.log"), yes("ann", "s3:GetObject", "logs/a"),
            yes("ann", "s3:ListBucket", sent={"prefix": "logs/", "delimiter": "/"}),
            no("ann", "s3:ListBucket", sent={"prefix": "logs/"}), no("ann", "s3:DeleteObject", "logs/a"),
            no("ann", "s3:PutObject", "dags/a.py"),
        ],
    ),
    "GitLab": Project(
        of_ann=[
            own(["s3:PutObject", "s3:GetObject", "s3:DeleteObject", "s3:ListMultipartUploadParts",
                 "s3:AbortMultipartUpload"], "arn:aws:s3:::gitlab-*/*", "arn:aws:s3:::photo?/*"),
            own(["s3:ListBucket", "s3:ListBucketMultipartUploads"], "arn:aws:s3:::gitlab-*", "arn:aws:s3:::photo?"),
        ],
        asks=[
            yes("ann", "s3:PutObject", "artifacts/1"), yes("ann", "s3:GetObject", "lfs/aa/bb"),
            yes("ann", "s3:ListBucketMultipartUploads"), yes("ann", "s3:DeleteObject", "uploads/1"),
            no("ann", "s3:PutObjectAcl", "uploads/1"), no("ann", "s3:GetBucketAcl"),
        ],
    ),
    "Harbor, a container registry": Project(
        of_ann=[
            own(["s3:ListBucket", "s3:GetBucketLocation", "s3:ListBucketMultipartUploads"], BUCKET),
            own(["s3:PutObject", "s3:GetObject", "s3:DeleteObject", "s3:ListMultipartUploadParts",
                 "s3:AbortMultipartUpload"], OBJECTS),
        ],
        asks=[
            yes("ann", "s3:GetBucketLocation"), yes("ann", "s3:PutObject", "docker/registry/v2/blobs/sha256/aa"),
            yes("ann", "s3:ListBucketMultipartUploads"), no("ann", "s3:PutBucketCORS"),
            no("ann", "s3:GetObjectTagging", "docker"), no("bob", "s3:PutObject", "docker"),
        ],
    ),
    "Elasticsearch, snapshots": Project(
        of_ann=[
            own(["s3:ListBucket", "s3:GetBucketLocation", "s3:ListBucketMultipartUploads", "s3:ListBucketVersions"],
                BUCKET, StringLikeIfExists={"s3:prefix": "snapshots/*"}),
            own(["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload",
                 "s3:ListMultipartUploadParts"], BUCKET + "/snapshots/*"),
        ],
        asks=[
            yes("ann", "s3:ListBucket", sent={"prefix": "snapshots/indices/"}), yes("ann", "s3:GetBucketLocation"),
            no("ann", "s3:ListBucket", sent={"prefix": "other/"}), yes("ann", "s3:PutObject", "snapshots/index-0"),
            no("ann", "s3:PutObject", "index-0"), no("ann", "s3:DeleteObjectVersion", "snapshots/index-0"),
        ],
    ),
    "Mastodon, media": Project(
        of_ann=[own(["s3:PutObject", "s3:PutObjectAcl", "s3:GetObject", "s3:DeleteObject"], OBJECTS),
                own("s3:ListBucket", BUCKET)],
        of_bucket=[allow("s3:GetObject", BUCKET + "/*", Sid="PublicMedia")],
        is_public=True,
        asks=[
            yes("anybody", "s3:GetObject", "media_attachments/1.png"), no("anybody", "s3:ListBucket"),
            no("anybody", "s3:PutObject", "media_attachments/1.png"), yes("ann", "s3:PutObject", "accounts/avatars/1"),
            yes("ann", "s3:PutObjectAcl", "accounts/avatars/1"), yes("carol", "s3:GetObject", "accounts/avatars/1"),
        ],
    ),
    "pgBackRest": Project(
        of_ann=[
            own("s3:ListBucket", BUCKET, StringEquals={"s3:prefix": ["", "demo"], "s3:delimiter": ["/"]}),
            own("s3:ListBucket", BUCKET, StringLike={"s3:prefix": ["demo/*"]}),
            own(["s3:PutObject", "s3:PutObjectTagging", "s3:GetObject", "s3:GetObjectVersion", "s3:DeleteObject"],
                BUCKET + "/demo/*"),
        ],
        asks=[
            yes("ann", "s3:ListBucket", sent={"prefix": "", "delimiter": "/"}),
            no("ann", "s3:ListBucket", sent={"prefix": ""}), yes("ann", "s3:ListBucket", sent={"prefix": "demo/wal/"}),
            yes("ann", "s3:PutObject", "demo/backup/main/backup.info"), no("ann", "s3:PutObject", "prod/backup.info"),
            no("ann", "s3:ListBucketVersions", sent={"prefix": "demo/"}),
        ],
    ),
    "Restic, nothing is removed": Project(
        of_ann=[
            own(["s3:ListBucket", "s3:GetBucketLocation"], BUCKET),
            own(["s3:PutObject", "s3:GetObject"], OBJECTS),
            own("s3:DeleteObject", BUCKET + "/*/locks/*"),
        ],
        asks=[
            yes("ann", "s3:PutObject", "repo/data/aa/aabb"), no("ann", "s3:DeleteObject", "repo/data/aa/aabb"),
            yes("ann", "s3:DeleteObject", "repo/locks/ccdd"), no("ann", "s3:DeleteObject", "locks/ccdd"),
            no("ann", "s3:DeleteObjectVersion", "repo/locks/ccdd"), no("ann", "s3:PutLifecycleConfiguration"),
        ],
    ),
    "Litestream": Project(
        of_ann=[
            own(["s3:GetBucketLocation", "s3:ListBucket"], BUCKET),
            own(["s3:PutObject", "s3:DeleteObject", "s3:GetObject"], BUCKET + "/app.db", BUCKET + "/app.db/*"),
        ],
        asks=[
            yes("ann", "s3:PutObject", "app.db/generations/1/wal/1"), yes("ann", "s3:GetObject", "app.db"),
            no("ann", "s3:PutObject", "app.db2/generations/1"), no("ann", "s3:GetObject", "other.db/1"),
            yes("ann", "s3:ListBucket"), no("carol", "s3:PutObject", "app.db/1"),
        ],
    ),
    "homes by the name of the user": Project(
        of_ann=[
            own("s3:ListAllMyBuckets", "*"),
            own("s3:ListBucket", BUCKET, StringLike={"s3:prefix": ["", "home/", "home/${aws:username}/*"]}),
            own("s3:*", BUCKET + "/home/${aws:username}/*"),
        ],
        asks=[
            yes("ann", "s3:PutObject", "home/ann/k"), yes("ann", "s3:DeleteObjectVersion", "home/ann/k"),
            no("ann", "s3:GetObject", "home/ben/k"), no("ann", "s3:GetObject", "home/anna/k"),
            yes("ann", "s3:ListBucket", sent={"prefix": "home/ann/"}),
            no("ann", "s3:ListBucket", sent={"prefix": "home/ben/"}),
        ],
    ),
    "Nextcloud, all of a bucket": Project(
        of_bucket=[allow("s3:*", [BUCKET, OBJECTS], {"CanonicalUser": "bob"})],
        asks=[
            yes("bob", "s3:PutObject", "urn:oid:1"), yes("bob", "s3:ListBucket"), yes("bob", "s3:DeleteObject", "u:1"),
            no("carol", "s3:GetObject", "urn:oid:1"), no("anybody", "s3:ListBucket"),
        ],
    ),
    "Terraform, a state": Project(
        of_bucket=[
            allow("s3:ListBucket", BUCKET, BY_BOB, Condition={"StringLike": {"s3:prefix": "env:/*"}}),
            allow(["s3:GetObject", "s3:PutObject"], BUCKET + "/network/terraform.tfstate", BY_BOB),
            allow(["s3:GetObject", "s3:PutObject", "s3:DeleteObject"], BUCKET + "/network/terraform.tfstate.tflock",
                  BY_BOB),
            PLAIN_HTTP,
        ],
        asks=[
            yes("bob", "s3:PutObject", "network/terraform.tfstate", **TLS),
            no("bob", "s3:DeleteObject", "network/terraform.tfstate", **TLS),
            yes("bob", "s3:DeleteObject", "network/terraform.tfstate.tflock", **TLS),
            no("bob", "s3:PutObject", "network/terraform.tfstate", **PLAIN),
            no("alice", "s3:GetObject", "network/terraform.tfstate", **PLAIN),
            yes("bob", "s3:ListBucket", sent={"prefix": "env:/"}, **TLS), no("bob", "s3:ListBucket", **TLS),
        ],
    ),
    "CDK, a bucket of assets": Project(
        of_bucket=[
            PLAIN_HTTP,
            allow(["s3:GetObject*", "s3:GetBucket*", "s3:List*"], [BUCKET, OBJECTS], {"AWS": ["bob", ANNS_ARN]}),
            allow(["s3:DeleteObject*", "s3:PutBucketPolicy"], [BUCKET, OBJECTS], {"AWS": ANNS_ARN}, Sid="Empties"),
        ],
        asks=[
            yes("bob", "s3:GetObject", "asset.zip", **TLS), no("bob", "s3:GetObject", "asset.zip", **PLAIN),
            yes("ann", "s3:DeleteObjectVersion", "asset.zip", **TLS), no("bob", "s3:DeleteObject", "asset.zip", **TLS),
            yes("ann", "s3:PutBucketPolicy", **TLS), no("ann", "s3:PutBucketPolicy", **PLAIN),
            yes("alice", "s3:PutBucketPolicy", **PLAIN),
        ],
    ),
    "CloudFront, origin access": Project(
        of_bucket=[
            allow("s3:GetObject", OBJECTS, {"Service": "cloudfront.amazonaws.com"}, Sid="OnlyTheDistribution",
                  Condition={"StringEquals": {"AWS:SourceArn": "arn:aws:cloudfront::123456789012:distribution/EDF1"}}),
        ],
        asks=[
            no("anybody", "s3:GetObject", "index.html"), no("bob", "s3:GetObject", "index.html"),
            yes("alice", "s3:GetObject", "index.html"), no("ann", "s3:GetObject", "index.html"),
        ],
    ),
    "from one VPC endpoint": Project(
        of_bucket=[
            deny("s3:*", [BUCKET, OBJECTS], Condition={"StringNotEquals": {"aws:SourceVpce": "vpce-1a2b3c4d"}}),
            allow("s3:GetObject", OBJECTS, BY_BOB),
        ],
        asks=[
            no("bob", "s3:GetObject", "k"), no("alice", "s3:GetObject", "k"), no("alice", "s3:ListBucket"),
            yes("alice", "s3:PutBucketPolicy"), yes("alice", "s3:DeleteBucketPolicy"), no("ann", "s3:PutBucketPolicy"),
        ],
    ),
    "deletions by who has a second factor": Project(
        of_bucket=[
            allow("s3:*", [BUCKET, OBJECTS], BY_BOB),
            deny(["s3:DeleteObject", "s3:DeleteObjectVersion", "s3:PutBucketVersioning"], [BUCKET, OBJECTS],
                 Condition={"Null": {"aws:MultiFactorAuthAge": "true"}}),
        ],
        asks=[
            no("bob", "s3:DeleteObject", "k"), no("alice", "s3:DeleteObjectVersion", "k"),
            yes("bob", "s3:GetObject", "k"), no("alice", "s3:PutBucketVersioning"), yes("alice", "s3:PutObject", "k"),
        ],
    ),
    "delivery of logs": Project(
        of_bucket=[
            allow("s3:PutObject", BUCKET + "/logs/*", {"Service": "logging.s3.amazonaws.com"},
                  Condition={"ArnLike": {"aws:SourceArn": "arn:aws:s3:::*"},
                             "StringEquals": {"aws:SourceAccount": "123456789012"}}),
            deny(["s3:PutObject", "s3:DeleteObject"], BUCKET + "/logs/*", None, NotPrincipal={"AWS": "alice"}),
        ],
        asks=[
            no("bob", "s3:PutObject", "logs/2030"), yes("alice", "s3:DeleteObject", "logs/2030"),
            no("anybody", "s3:PutObject", "logs/2030"), yes("alice", "s3:GetObject", "logs/2030"),
        ],
    ),
    "another account reads": Project(
        of_bucket=[
            allow(["s3:GetObject", "s3:GetObjectVersion"], BUCKET + "/shared/*", {"AWS": ["bob"]}),
            allow("s3:ListBucket", BUCKET, {"AWS": ["bob"]}, Condition={"StringLike": {"s3:prefix": ["shared/*"]}}),
        ],
        asks=[
            yes("bob", "s3:GetObject", "shared/k"), no("bob", "s3:GetObject", "private/k"),
            yes("bob", "s3:GetObjectVersion", "shared/k"), no("bob", "s3:PutObject", "shared/k"),
            yes("bob", "s3:ListBucket", sent={"prefix": "shared/2030/"}), no("carol", "s3:GetObject", "shared/k"),
        ],
    ),
    "from the addresses of an office": Project(
        of_bucket=[
            allow("s3:GetObject", OBJECTS, Condition={"IpAddress": {"aws:SourceIp": OFFICES}}),
            deny("s3:*", [BUCKET, OBJECTS], Condition={"NotIpAddress": {"aws:SourceIp": OFFICES}}),
        ],
        asks=[
            yes("anybody", "s3:GetObject", "k", **OFFICE), no("anybody", "s3:GetObject", "k", **ELSEWHERE),
            yes("alice", "s3:PutObject", "k", source_ip="2001:db8::1"), no("alice", "s3:PutObject", "k", **ELSEWHERE),
            yes("alice", "s3:PutBucketPolicy", **ELSEWHERE), no("anybody", "s3:ListBucket", **OFFICE),
            yes("anybody", "s3:GetObject", "k", source_ip="::ffff:203.0.113.9"),
        ],
    ),
    "objects are encrypted, by newest TLS": Project(
        of_bucket=[
            allow("s3:PutObject", OBJECTS, BY_BOB),
            deny("s3:PutObject", OBJECTS, Condition={"Null": {"s3:x-amz-server-side-encryption": "true"}}),
            deny("s3:PutObject", OBJECTS,
                 Condition={"StringNotEquals": {"s3:x-amz-server-side-encryption": ["aws:kms", "AES256"]},
                            "Null": {"s3:x-amz-server-side-encryption": "false"}}),
            deny("s3:*", [BUCKET, OBJECTS], Condition={"NumericLessThan": {"s3:TlsVersion": "1.2"}}),
        ],
        asks=[
            no("bob", "s3:PutObject", "k"), no("alice", "s3:PutObject", "k", sent={"tlsversion": "1.3"}),
            yes("bob", "s3:PutObject", "k", sent={"x-amz-server-side-encryption": "AES256", "tlsversion": "1.3"}),
            no("bob", "s3:PutObject", "k", sent={"x-amz-server-side-encryption": "AES256", "tlsversion": "1.1"}),
            no("bob", "s3:PutObject", "k", sent={"x-amz-server-side-encryption": "rot13"}),
            yes("alice", "s3:GetObject", "k", sent={"tlsversion": "1.2"}),
        ],
    ),
    "Zarr, a public data set": Project(
        of_bucket=[
            allow("s3:GetObject", BUCKET + "/era5.zarr/*", Sid="Chunks"),
            allow("s3:ListBucket", BUCKET, Condition={"StringLike": {"s3:prefix": "era5.zarr/*"}}),
        ],
        is_public=True,
        asks=[
            yes("anybody", "s3:GetObject", "era5.zarr/t2m/0.0.0"), no("anybody", "s3:GetObject", "raw/2030.grib"),
            yes("anybody", "s3:ListBucket", sent={"prefix": "era5.zarr/t2m/"}), no("anybody", "s3:ListBucket"),
            no("anybody", "s3:PutObject", "era5.zarr/.zattrs"), yes("bob", "s3:GetObject", "era5.zarr/.zattrs"),
        ],
    ),
}  # fmt: skip
ROWS = [
    pytest.param(project, ask, id=f"{name}-{ask.who}-{ask.action[3:]}-{number}")
    for name, project in PROJECTS.items()
    for number, ask in enumerate(project.asks)
]


def text_of(statements: Statements) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [without_none(one) for one in statements]})


def without_none(statement: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in statement.items() if value is not None}


def caller_of(project: Project, ask: Ask) -> Caller:
    known: dict[str, Any] = {**ask.known, "sent": ask.sent.get}
    if ask.who == "ann":
        own_policies = {"own": text_of(project.of_ann)} if project.of_ann else {}
        return Caller.of_user(attrs.evolve(ANN, policies=own_policies), **known)
    if ask.who == "anybody":
        return attrs.evolve(ANONYMOUS, **known)
    return Caller(Owner(ask.who), **known)


@pytest.mark.parametrize(("project", "ask"), ROWS)
def test_a_request_is_decided(project: Project, ask: Ask) -> None:
    bucket = bucket_with(*map(without_none, project.of_bucket))
    action = Action(ask.action)
    subject = object_of(key=ask.key) if ask.key is not None and is_of_object(action) else None
    decision = decide(action, caller_of(project, ask), bucket, subject, ask.key)
    assert decision.allowed is ask.expected, decision


@pytest.mark.parametrize("name", PROJECTS)
def test_a_policy_is_accepted(name: str) -> None:
    """By a store that has met the accounts."""
    project = PROJECTS[name]
    if project.of_ann:
        assert len(compile_policy(text_of(project.of_ann), None).statements) == len(project.of_ann)
    if not project.of_bucket:
        return
    text = text_of(project.of_bucket)
    assert is_public(text, "photos") is project.is_public
    with bleepstore.open() as store:
        for owner in (ALICE, BOB):
            store.put_credential(owner.id, "a-secret", owner=owner)
        store.create_bucket("photos", caller=Caller(ALICE))
        if project.is_public:
            store.delete_public_access_block("photos", caller=Caller(ALICE))
        store.users.add("ann", account=ALICE)
        store.put_bucket_policy("photos", text, caller=Caller(ALICE))
        assert store.get_bucket_policy("photos", caller=Caller(ALICE)) == text

"""Configurations that are stored: put, shown as they were given, refused as S3 refuses them, removed."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Sequence
from hashlib import md5
from typing import TYPE_CHECKING, Any

import botocore.session
import pytest
from botocore.model import ListShape, Shape, StructureShape

from bleepstore import ConfigurationKind
from bleepstore.configurations import SHAPES
from bleepstore.configurations import shapes as sh
from bleepstore_server.wire.documents.stored import ITEMS, ROOTS, element_of
from tests.server.conftest import Server
from tests.server.tools import Wire, failure

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

K = ConfigurationKind
ROLE = "arn:aws:iam::111122223333:role/replicates"
TOPIC, QUEUE = "arn:aws:sns:eu-west-1:111122223333:t", "arn:aws:sqs:eu-west-1:111122223333:q"
FUNCTION = "arn:aws:lambda:eu-west-1:111122223333:function:f"
TARGET = "arn:aws:s3:::target"
TAG = {"Key": "k", "Value": ""}
#: Kind -> (what its operations are named after, the parameter of its document, the document).
NAMES: dict[K, tuple[str, str]] = {
    K.ABAC: ("abac", "AbacStatus"),
    K.ACCELERATE: ("accelerate_configuration", "AccelerateConfiguration"),
    K.LOGGING: ("logging", "BucketLoggingStatus"),
    K.NOTIFICATION: ("notification_configuration", "NotificationConfiguration"),
    K.REPLICATION: ("replication", "ReplicationConfiguration"),
    K.WEBSITE: ("website", "WebsiteConfiguration"),
    K.ANALYTICS: ("analytics_configuration", "AnalyticsConfiguration"),
    K.INTELLIGENT_TIERING: ("intelligent_tiering_configuration", "IntelligentTieringConfiguration"),
    K.INVENTORY: ("inventory_configuration", "InventoryConfiguration"),
    K.METRICS: ("metrics_configuration", "MetricsConfiguration"),
}
RULE: dict[str, Any] = {
    "ID": "r", "Priority": 1, "Filter": {"Prefix": "a/"}, "Status": "Enabled", "Destination": {"Bucket": TARGET},
    "DeleteMarkerReplication": {"Status": "Disabled"},
}  # fmt: skip
#: Documents that have as much as they can.
FULL: dict[K, dict[str, Any]] = {
    K.ABAC: {"Status": "Enabled"},
    K.ACCELERATE: {"Status": "Suspended"},
    K.LOGGING: {
        "LoggingEnabled": {
            "TargetBucket": "target",
            "TargetPrefix": "<&> ü/",
            "TargetObjectKeyFormat": {"PartitionedPrefix": {"PartitionDateSource": "EventTime"}},
        }
    },
    K.NOTIFICATION: {
        "TopicConfigurations": [
            {
                "Id": "one", "TopicArn": TOPIC, "Events": ["s3:ObjectCreated:*", "s3:ObjectRemoved:Delete"],
                "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": "a"}, {"Name": "suffix", "Value": ""}]}},
            }
        ],
        "QueueConfigurations": [{"Id": "two", "QueueArn": QUEUE, "Events": ["s3:ObjectAcl:Put"]}],
        "LambdaFunctionConfigurations": [
            {"Id": "three", "LambdaFunctionArn": FUNCTION, "Events": ["s3:ObjectTagging:*"]},
            {"Id": "four", "LambdaFunctionArn": FUNCTION, "Events": ["s3:LifecycleTransition"]},
        ],
        "EventBridgeConfiguration": {},
    },
    K.REPLICATION: {
        "Role": ROLE,
        "Rules": [
            RULE,
            {
                **RULE, "ID": "s", "Priority": 0, "Filter": {"And": {"Prefix": "b", "Tags": [TAG]}},
                "SourceSelectionCriteria": {
                    "SseKmsEncryptedObjects": {"Status": "Enabled"}, "ReplicaModifications": {"Status": "Disabled"},
                },
                "ExistingObjectReplication": {"Status": "Enabled"},
                "Destination": {
                    "Bucket": TARGET, "Account": "111122223333", "StorageClass": "GLACIER",
                    "AccessControlTranslation": {"Owner": "Destination"},
                    "EncryptionConfiguration": {"ReplicaKmsKeyID": "k"},
                    "ReplicationTime": {"Status": "Enabled", "Time": {"Minutes": 15}},
                    "Metrics": {"Status": "Enabled", "EventThreshold": {"Minutes": 15}},
                },
            },
        ],
    },
    K.WEBSITE: {
        "ErrorDocument": {"Key": "404.html"},
        "IndexDocument": {"Suffix": "index.html"},
        "RoutingRules": [
            {
                "Condition": {"HttpErrorCodeReturnedEquals": "404", "KeyPrefixEquals": "old/"},
                "Redirect": {
                    "HostName": "h", "HttpRedirectCode": "302", "Protocol": "https", "ReplaceKeyPrefixWith": "",
                },
            },
            {"Redirect": {"ReplaceKeyWith": "new"}},
        ],
    },
    K.ANALYTICS: {
        "Id": "one",
        "Filter": {"And": {"Prefix": "p", "Tags": [TAG, {"Key": "l", "Value": "w"}]}},
        "StorageClassAnalysis": {
            "DataExport": {
                "OutputSchemaVersion": "V_1",
                "Destination": {
                    "S3BucketDestination": {
                        "Format": "CSV", "BucketAccountId": "111122223333", "Bucket": TARGET, "Prefix": "p",
                    }
                },
            }
        },
    },
    K.INTELLIGENT_TIERING: {
        "Id": "one",
        "Filter": {"Tag": TAG},
        "Status": "Disabled",
        "Tierings": [{"Days": 90, "AccessTier": "ARCHIVE_ACCESS"}, {"Days": 180, "AccessTier": "DEEP_ARCHIVE_ACCESS"}],
    },
    K.INVENTORY: {
        "Id": "one",
        "Destination": {
            "S3BucketDestination": {
                "AccountId": "111122223333", "Bucket": TARGET, "Format": "Parquet", "Prefix": "p",
                "Encryption": {"SSEKMS": {"KeyId": "k"}},
            }
        },
        "IsEnabled": False,
        "Filter": {"Prefix": ""},
        "IncludedObjectVersions": "All",
        "OptionalFields": ["Size", "ETag"],
        "Schedule": {"Frequency": "Daily"},
    },
    K.METRICS: {"Id": "one", "Filter": {"And": {"Tags": [TAG], "AccessPointArn": "arn:aws:s3:::ap"}}},
}  # fmt: skip


def marks_of(kind: K) -> Sequence[pytest.MarkDecorator]:
    """Replication is of versions."""
    return [pytest.mark.blobs] if kind is K.REPLICATION else []


WITH_IDS = [kind for kind in FULL if "Id" in FULL[kind]]


def put(s3: S3Client, kind: K, document: dict[str, Any], bucket: str = "photos", **more: Any) -> None:
    name, parameter = NAMES[kind]
    given: dict[str, Any] = {"Bucket": bucket, parameter: document, **more}
    if kind in WITH_IDS:
        given.setdefault("Id", document["Id"])
    if kind is K.NOTIFICATION:
        given.setdefault("SkipDestinationValidation", True)
    getattr(s3, f"put_bucket_{name}")(**given)


def get(s3: S3Client, kind: K, bucket: str = "photos") -> dict[str, Any]:
    name, parameter = NAMES[kind]
    more = {"Id": "one"} if kind in WITH_IDS else {}
    answer = getattr(s3, f"get_bucket_{name}")(Bucket=bucket, **more)
    del answer["ResponseMetadata"]
    document: dict[str, Any] = answer.get(parameter, answer) if kind is not K.WEBSITE else answer
    return document


@pytest.fixture
def bob(server: Server) -> Iterator[S3Client]:
    client = server.client("bob", "bob-secret")
    yield client
    client.close()


@pytest.fixture
def buckets(s3: S3Client, server: Server) -> S3Client:
    for name in ("photos", "target"):
        s3.create_bucket(Bucket=name)
        if server.store.engine.object_engine.keeps_versions:
            s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    return s3


# -- what is given is shown


@pytest.mark.parametrize("kind", [pytest.param(kind, marks=marks_of(kind)) for kind in FULL])
def test_what_is_put_is_shown_and_removed(buckets: S3Client, bob: S3Client, kind: K) -> None:
    put(buckets, kind, FULL[kind])
    assert get(buckets, kind) == FULL[kind]
    with failure("AccessDenied", 403):
        get(bob, kind)
    with failure("AccessDenied", 403):
        put(bob, kind, FULL[kind])
    with failure("NoSuchBucket", 404):
        put(buckets, kind, FULL[kind], "absent")
    name = NAMES[kind][0]
    if kind in WITH_IDS:
        with failure("AccessDenied", 403):
            getattr(bob, f"delete_bucket_{name}")(Bucket="photos", Id="one")
        getattr(buckets, f"delete_bucket_{name}")(Bucket="photos", Id="one")
        with failure("NoSuchConfiguration", 404):
            getattr(buckets, f"delete_bucket_{name}")(Bucket="photos", Id="one")
        with failure("NoSuchConfiguration", 404):
            get(buckets, kind)
    elif kind in (K.REPLICATION, K.WEBSITE):
        for _ in range(2):
            getattr(buckets, f"delete_bucket_{name}")(Bucket="photos")
        with failure(
            "NoSuchWebsiteConfiguration" if kind is K.WEBSITE else "ReplicationConfigurationNotFoundError", 404
        ):
            get(buckets, kind)
    elif kind in (K.LOGGING, K.NOTIFICATION):
        put(buckets, kind, {})
        assert get(buckets, kind) == {}
    buckets.delete_bucket(Bucket="photos")


def test_attributes_of_grantees_are_kept(s3: S3Client, server: Server) -> None:
    for name in ("photos", "target"):
        s3.create_bucket(Bucket=name, ObjectOwnership="ObjectWriter")
    grants = [
        {"Grantee": {"Type": "CanonicalUser", "ID": "i", "DisplayName": "d"}, "Permission": "READ"},
        {"Grantee": {"Type": "Group", "URI": "http://acs.amazonaws.com/groups/s3/LogDelivery"}, "Permission": "WRITE"},
    ]
    document = {"LoggingEnabled": {"TargetBucket": "target", "TargetPrefix": "", "TargetGrants": grants}}
    put(s3, K.LOGGING, document)
    assert get(s3, K.LOGGING) == document
    s3.put_bucket_ownership_controls(
        Bucket="target", OwnershipControls={"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    )
    with failure("InvalidTargetBucketForLogging", 400):
        put(s3, K.LOGGING, document)


@pytest.mark.blobs
def test_rules_without_ids_get_one(buckets: S3Client) -> None:
    without = {name: value for name, value in RULE.items() if name != "ID"}
    put(buckets, K.REPLICATION, {"Role": ROLE, "Rules": [without, {**without, "Priority": 2}]})
    ids = {rule["ID"] for rule in get(buckets, K.REPLICATION)["Rules"]}
    assert len(ids) == 2
    put(buckets, K.NOTIFICATION, {"QueueConfigurations": [{"QueueArn": QUEUE, "Events": ["s3:ObjectCreated:*"]}]})
    assert get(buckets, K.NOTIFICATION)["QueueConfigurations"][0]["Id"]


@pytest.mark.parametrize("kind", WITH_IDS)
def test_pages_of_a_hundred(buckets: S3Client, server: Server, kind: K) -> None:
    name = NAMES[kind][0]
    lists = getattr(buckets, f"list_bucket_{name}s")
    assert lists(Bucket="photos")["IsTruncated"] is False
    for number in range(103):
        server.store.put_bucket_configuration("photos", kind, {**FULL[kind], "Id": f"{number:03}"})
    first = lists(Bucket="photos")
    second = lists(Bucket="photos", ContinuationToken=first["NextContinuationToken"])
    found = [one for page in (first, second) for one in page[f"{NAMES[kind][1]}List"]]
    assert [one["Id"] for one in found] == [f"{number:03}" for number in range(103)]
    assert found[0] == {**FULL[kind], "Id": "000"}
    assert (first["IsTruncated"], second["IsTruncated"], "NextContinuationToken" in second) == (True, False, False)
    assert second["ContinuationToken"] == first["NextContinuationToken"]
    with failure("InvalidArgument", 400):
        lists(Bucket="photos", ContinuationToken="nonsense")


# -- what is refused


def changed(kind: K, **more: Any) -> dict[str, Any]:
    return {name: value for name, value in (FULL[kind] | more).items() if value is not None}


def rules(*given: dict[str, Any], role: str = ROLE) -> dict[str, Any]:
    return {
        "Role": role,
        "Rules": [{name: value for name, value in (RULE | one).items() if value is not None} for one in given],
    }


def notified(**more: Any) -> dict[str, Any]:
    return {"QueueConfigurations": [{"QueueArn": QUEUE, "Events": ["s3:ObjectCreated:*"], **more}]}


def filtered(*names: str) -> dict[str, Any]:
    return notified(Filter={"Key": {"FilterRules": [{"Name": name, "Value": "v"} for name in names]}})


def routed(**rule: Any) -> dict[str, Any]:
    return {"IndexDocument": {"Suffix": "i"}, "RoutingRules": [{"Redirect": {"HostName": "h"}, **rule}]}


def logged(**more: Any) -> dict[str, Any]:
    return {"LoggingEnabled": {"TargetBucket": "target", "TargetPrefix": "", **more}}


TIER = {"Days": 90, "AccessTier": "ARCHIVE_ACCESS"}
INDEX = {"IndexDocument": {"Suffix": "i"}}
REFUSED: list[tuple[K, dict[str, Any], str]] = [
    (K.ABAC, {}, "MalformedXML"),
    (K.ABAC, {"Status": "Suspended"}, "MalformedXML"),
    (K.ACCELERATE, {}, "MalformedXML"),
    (K.ACCELERATE, {"Status": "enabled"}, "MalformedXML"),
    (K.LOGGING, logged(TargetBucket="absent"), "InvalidTargetBucketForLogging"),
    (K.LOGGING, logged(TargetBucket="bobs"), "InvalidTargetBucketForLogging"),
    (K.LOGGING, {"LoggingEnabled": {"TargetBucket": "", "TargetPrefix": ""}}, "MalformedXML"),
    (K.LOGGING, logged(TargetObjectKeyFormat={}), "MalformedXML"),
    (K.LOGGING, logged(TargetObjectKeyFormat={"SimplePrefix": {}, "PartitionedPrefix": {}}), "MalformedXML"),
    (K.LOGGING, logged(TargetGrants=[{"Grantee": {"Type": "Group", "ID": "i"}, "Permission": "READ"}]), "MalformedXML"),
    (K.LOGGING, logged(TargetGrants=[{"Permission": "READ"}]), "MalformedXML"),
    (K.NOTIFICATION, notified(QueueArn="nonsense"), "InvalidArgument"),
    (K.NOTIFICATION, notified(QueueArn=TOPIC), "InvalidArgument"),
    (K.NOTIFICATION, notified(Events=["s3:ObjectCreated:Nothing"]), "MalformedXML"),
    (K.NOTIFICATION, notified(Events=[]), "MalformedXML"),
    (K.NOTIFICATION, filtered("prefix", "prefix"), "InvalidArgument"),
    (K.NOTIFICATION, filtered("suffix", "prefix", "suffix"), "InvalidArgument"),
    (K.NOTIFICATION, filtered("prefix", "Prefix"), "InvalidArgument"),
    (K.NOTIFICATION, filtered("infix"), "InvalidArgument"),
    (K.NOTIFICATION, notified(Filter={"Key": {"FilterRules": [{"Name": "prefix"}]}}), "MalformedXML"),
    (K.NOTIFICATION, {"QueueConfigurations": notified(Id="x")["QueueConfigurations"] * 2}, "InvalidArgument"),
    (K.NOTIFICATION, notified(Id="x" * 256), "InvalidArgument"),
    (K.NOTIFICATION, {"QueueConfigurations": notified()["QueueConfigurations"] * 101}, "InvalidRequest"),
    (K.REPLICATION, rules(), "MalformedXML"),
    (K.REPLICATION, rules({}, role="me"), "InvalidArgument"),
    (K.REPLICATION, rules({}, {"Priority": 2}), "InvalidArgument"),
    (K.REPLICATION, rules({}, {"ID": "s"}), "InvalidRequest"),
    (K.REPLICATION, rules({"ID": "x" * 256}), "InvalidArgument"),
    (K.REPLICATION, rules({"Priority": None}), "MalformedXML"),
    (K.REPLICATION, rules({"Priority": -1}), "InvalidArgument"),
    (K.REPLICATION, rules({"DeleteMarkerReplication": None}), "MalformedXML"),
    (K.REPLICATION, rules({"Filter": None}), "MalformedXML"),
    (K.REPLICATION, rules({"Prefix": "a"}), "MalformedXML"),
    (K.REPLICATION, rules({"Filter": {"Prefix": "a", "Tag": TAG}}), "MalformedXML"),
    (K.REPLICATION, rules({"Filter": {"And": {"Prefix": "a"}}}), "MalformedXML"),
    (
        K.REPLICATION,
        rules({"Filter": {"Tag": TAG}, "DeleteMarkerReplication": {"Status": "Enabled"}}),
        "InvalidRequest",
    ),
    (K.REPLICATION, rules({"Status": "On"}), "MalformedXML"),
    (K.REPLICATION, rules({"Destination": {"Bucket": "target"}}), "InvalidArgument"),
    (K.REPLICATION, rules({"Destination": {"Bucket": "arn:aws:s3:::absent"}}), "InvalidRequest"),
    (K.REPLICATION, rules({"Destination": {"Bucket": "arn:aws:s3:::bobs"}}), "InvalidRequest"),
    (K.REPLICATION, rules({"Destination": {"Bucket": "arn:aws:s3:::photos"}}), "InvalidRequest"),
    (K.WEBSITE, {}, "InvalidArgument"),
    (K.WEBSITE, {"ErrorDocument": {"Key": "e"}}, "InvalidArgument"),
    (K.WEBSITE, {"IndexDocument": {"Suffix": "a/i"}}, "InvalidArgument"),
    (K.WEBSITE, {"IndexDocument": {"Suffix": ""}}, "InvalidArgument"),
    (K.WEBSITE, {**INDEX, "RedirectAllRequestsTo": {"HostName": "h"}}, "InvalidRequest"),
    (K.WEBSITE, {"RedirectAllRequestsTo": {"HostName": "h", "Protocol": "ftp"}}, "MalformedXML"),
    (K.WEBSITE, routed(Condition={}), "InvalidRequest"),
    (K.WEBSITE, routed(Condition={"HttpErrorCodeReturnedEquals": "200"}), "InvalidRequest"),
    (K.WEBSITE, routed(Redirect={}), "MalformedXML"),
    (K.WEBSITE, routed(Redirect={"HttpRedirectCode": "300"}), "InvalidRequest"),
    (K.WEBSITE, routed(Redirect={"ReplaceKeyWith": "a", "ReplaceKeyPrefixWith": "b"}), "InvalidRequest"),
    (K.WEBSITE, {**INDEX, "RoutingRules": routed()["RoutingRules"] * 51}, "InvalidRequest"),
    (K.ANALYTICS, changed(K.ANALYTICS, Id="a b"), "InvalidArgument"),
    (K.ANALYTICS, changed(K.ANALYTICS, Id="x" * 65), "InvalidArgument"),
    (K.ANALYTICS, changed(K.ANALYTICS, Filter={}), "MalformedXML"),
    (K.ANALYTICS, changed(K.ANALYTICS, Filter={"Prefix": "a", "Tag": TAG}), "MalformedXML"),
    (K.ANALYTICS, changed(K.ANALYTICS, Filter={"And": {"Tags": [TAG, TAG]}}), "InvalidRequest"),
    (K.INTELLIGENT_TIERING, changed(K.INTELLIGENT_TIERING, Tierings=[]), "MalformedXML"),
    (K.INTELLIGENT_TIERING, changed(K.INTELLIGENT_TIERING, Tierings=[TIER, TIER]), "MalformedXML"),
    (K.INTELLIGENT_TIERING, changed(K.INTELLIGENT_TIERING, Tierings=[{**TIER, "Days": 89}]), "InvalidArgument"),
    (K.INTELLIGENT_TIERING, changed(K.INTELLIGENT_TIERING, Tierings=[{**TIER, "Days": 731}]), "InvalidArgument"),
    (
        K.INTELLIGENT_TIERING,
        changed(
            K.INTELLIGENT_TIERING,
            Tierings=[{**TIER, "Days": 200}, {"Days": 180, "AccessTier": "DEEP_ARCHIVE_ACCESS"}],
        ),
        "InvalidArgument",
    ),
    (K.INVENTORY, changed(K.INVENTORY, OptionalFields=["Size", "Size"]), "MalformedXML"),
    (K.INVENTORY, changed(K.INVENTORY, Schedule={"Frequency": "Hourly"}), "MalformedXML"),
    (
        K.INVENTORY,
        changed(K.INVENTORY, Destination={"S3BucketDestination": {"Bucket": "target", "Format": "CSV"}}),
        "InvalidArgument",
    ),
    (K.METRICS, changed(K.METRICS, Filter={"And": {"Prefix": "a"}}), "MalformedXML"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "document", "code"),
    [pytest.param(*row, marks=marks_of(row[0]), id=str(number)) for number, row in enumerate(REFUSED)],
)
def test_what_s3_refuses_changes_nothing(
    buckets: S3Client, server: Server, bob: S3Client, kind: K, document: dict[str, Any], code: str
) -> None:
    bob.create_bucket(Bucket="bobs")
    server.store.put_bucket_configuration("photos", kind, FULL[kind], skip_destination_validation=True)
    with failure(code, 400):
        put(buckets, kind, document)
    assert get(buckets, kind) == FULL[kind]


PUT, ALL = "s3:ObjectCreated:Put", "s3:ObjectCreated:*"
OVERLAP = "Configurations overlap. Configurations on the same bucket cannot share a common event type."
AMBIGUOUS = (
    "Configuration is ambiguously defined. Cannot have overlapping suffixes in two rules if the prefixes are "
    "overlapping for the same event type."
)


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ((ALL, "", ""), (ALL, "", ""), OVERLAP),
        ((ALL, "", ""), (PUT, "", ""), OVERLAP),
        ((PUT, "", ""), (ALL, "a/", ""), AMBIGUOUS),
        ((PUT, "a", ".jpg"), (PUT, "ab", ""), AMBIGUOUS),
        ((PUT, "a", ".jpg"), (PUT, "a", "g"), AMBIGUOUS),
        ((PUT, "", ""), ("s3:ObjectCreated:Post", "", ""), None),
        ((PUT, "a", ""), (ALL, "b", ""), None),
        ((PUT, "a", ".jpg"), (ALL, "ab", ".png"), None),
    ],
)
def test_no_event_is_of_two_configurations(
    buckets: S3Client, first: tuple[str, str, str], second: tuple[str, str, str], message: str | None
) -> None:
    def one(event: str, prefix: str, suffix: str) -> dict[str, Any]:
        given = {"prefix": prefix, "suffix": suffix}
        rules = [{"Name": name, "Value": value} for name, value in given.items() if value]
        return {"Events": [event, "s3:ObjectRestore:Post"], "Filter": {"Key": {"FilterRules": rules}}}

    document = {
        "TopicConfigurations": [{"TopicArn": TOPIC, **one(*first)}],
        "QueueConfigurations": [{"QueueArn": QUEUE, **one(*second), "Events": [second[0]]}],
    }
    if message is None:
        put(buckets, K.NOTIFICATION, document)
        return
    with failure("InvalidArgument", 400) as answer:
        put(buckets, K.NOTIFICATION, document)
    error: Any = answer["Error"]
    assert (error["Message"], error["ArgumentName"]) == (message, "Event")
    assert error["ArgumentValue"] == f"{first[0]}, {second[0]}"
    assert get(buckets, K.NOTIFICATION) == {}


def test_destinations_that_cannot_be_reached(buckets: S3Client) -> None:
    with failure("InvalidArgument", 400) as answer:
        put(buckets, K.NOTIFICATION, notified(), SkipDestinationValidation=False)
    error = answer["Error"]
    assert error["Message"] == "Unable to validate the following destination configurations"
    assert error["ArgumentValue"] == QUEUE
    put(buckets, K.NOTIFICATION, {"EventBridgeConfiguration": {}}, SkipDestinationValidation=False)
    assert get(buckets, K.NOTIFICATION) == {"EventBridgeConfiguration": {}}


def test_names_that_acceleration_does_not_have(s3: S3Client) -> None:
    s3.create_bucket(Bucket="a.b")
    with failure("InvalidRequest", 400):
        put(s3, K.ACCELERATE, {"Status": "Enabled"}, "a.b")
    assert get(s3, K.ACCELERATE, "a.b") == {}


@pytest.mark.blobs
def test_replication_needs_versions_and_keeps_them(buckets: S3Client) -> None:
    suspended: Any = {"Status": "Suspended"}
    put(buckets, K.REPLICATION, FULL[K.REPLICATION])
    with failure("InvalidBucketState", 409):
        buckets.put_bucket_versioning(Bucket="photos", VersioningConfiguration=suspended)
    buckets.put_bucket_versioning(Bucket="target", VersioningConfiguration=suspended)
    with failure("InvalidRequest", 400):
        put(buckets, K.REPLICATION, FULL[K.REPLICATION])
    buckets.delete_bucket_replication(Bucket="photos")
    buckets.put_bucket_versioning(Bucket="photos", VersioningConfiguration=suspended)
    with failure("InvalidRequest", 400):
        put(buckets, K.REPLICATION, FULL[K.REPLICATION])


@pytest.mark.parametrize("kind", WITH_IDS)
def test_ids(buckets: S3Client, server: Server, kind: K) -> None:
    with failure("InvalidArgument", 400):
        put(buckets, kind, FULL[kind], Id="another")
    wire = Wire(server.url)
    for method, query in (("PUT", ""), ("PUT", "&id="), ("DELETE", ""), ("DELETE", "&id="), ("GET", "&id=a%20b")):
        body = f"<{ROOTS[kind]}><Id/></{ROOTS[kind]}>".encode() if method == "PUT" else b""
        answer = wire.send(method, f"/photos?{kind}{query}", body)
        assert answer.code in ("InvalidArgument", "MalformedXML"), (method, query)
    assert wire.send("GET", f"/missing?{kind}").code == "NoSuchBucket"


@pytest.mark.parametrize(
    ("query", "body"),
    [
        ("website",
         "<WebsiteConfiguration><IndexDocument><Suffix>i</Suffix></IndexDocument><More/></WebsiteConfiguration>"),
        ("website", "<Other/>"),
        ("website", "<WebsiteConfiguration><IndexDocument>i</IndexDocument></WebsiteConfiguration>"),
        ("website", "<WebsiteConfiguration><RoutingRules><Rule/></RoutingRules></WebsiteConfiguration>"),
        ("abac", "<AbacStatus><Status>Enabled</Status><Status>Disabled</Status></AbacStatus>"),
        ("abac", "not XML"),
        ("inventory&id=a", "<InventoryConfiguration><Id>a</Id><IsEnabled>maybe</IsEnabled></InventoryConfiguration>"),
        ("intelligent-tiering&id=a",
         "<IntelligentTieringConfiguration><Id>a</Id><Tiering><Days>x</Days></Tiering></IntelligentTieringConfiguration>"),
        ("logging",
         "<BucketLoggingStatus><LoggingEnabled><TargetBucket>t</TargetBucket><TargetPrefix/><TargetGrants><Grant>"
         "<Grantee/></Grant></TargetGrants></LoggingEnabled></BucketLoggingStatus>"),
    ],
)  # fmt: skip
def test_documents_that_have_another_shape(buckets: S3Client, server: Server, query: str, body: str) -> None:
    digest = b64encode(md5(body.encode()).digest()).decode()
    answer = Wire(server.url).send("PUT", f"/photos?{query}", body.encode(), {"Content-MD5": digest})
    assert (answer.status, answer.code) == (400, "MalformedXML")


def test_a_digest_is_needed(buckets: S3Client, server: Server) -> None:
    """With a replication; s3cmd sends none with others."""
    refused = {"logging": "MalformedXML", "replication": "InvalidRequest", "website": "MalformedXML"}
    for kind, code in refused.items():
        answer = Wire(server.url).send("PUT", f"/photos?{kind}", b"<A/>")
        assert (answer.status, answer.code) == (400, code)


# -- the shapes are S3's

#: What S3 asks for though its model does not say it.
MORE_REQUIRED = {"AbacStatus": {"Status"}, "AccelerateConfiguration": {"Status"}}


def compared(ours: sh.Shape, theirs: Shape, at: str) -> Iterator[tuple[object, object]]:
    """(what ours says, what botocore's model says) of a shape and of all within."""
    if isinstance(ours, sh.Structure):
        assert isinstance(theirs, StructureShape), at
        yield (at, set(ours.members)), (at, set(theirs.members))
        yield (at, set(ours.required)), (at, set(theirs.required_members) | MORE_REQUIRED.get(at, set()))
        for member, shape in ours.members.items():
            their = theirs.members[member]
            flat = isinstance(their, ListShape) and their.serialization.get("flattened", False)
            if not their.serialization.get("xmlAttribute"):
                name = their.serialization.get("name", member)
                yield (at, member, element_of(member, shape)), (at, member, name)
            yield (at, member, member in ITEMS), (at, member, isinstance(their, ListShape) and not flat)
            if isinstance(their, ListShape) and not flat:
                yield ITEMS[member], their.member.serialization["name"]
            yield from compared(shape, their, f"{at}.{member}")
    elif isinstance(ours, sh.ListOf):
        assert isinstance(theirs, ListShape), at
        yield from compared(ours.item, theirs.member, at)
    else:
        kinds: dict[type, str] = {sh.Text: "string", sh.Integer: "integer", sh.Boolean: "boolean"}
        yield (at, kinds[type(ours)]), (at, theirs.type_name)
        if isinstance(ours, sh.Text):
            values = set() if at.endswith(CHECKED_BY_RULE) else set(theirs.metadata.get("enum", ()))
            yield (at, set(ours.choices)), (at, values)


#: A text whose other values are no malformed XML, but have an error of their own.
CHECKED_BY_RULE = ".Filter.Key.FilterRules.Name"


@pytest.mark.parametrize("kind", FULL)
def test_a_shape_agrees_with_the_model_of_s3(kind: K) -> None:
    model = botocore.session.get_session().get_service_model("s3")
    name, parameter = NAMES[kind]
    operation = model.operation_model("PutBucket" + "".join(word.capitalize() for word in name.split("_")))
    assert operation.input_shape is not None
    theirs = operation.input_shape.members[parameter]
    assert theirs.serialization.get("name", parameter) == ROOTS[kind]
    for ours, wanted in compared(SHAPES[kind], theirs, parameter):
        assert ours == wanted

"""The calls that Terraform's provider for AWS makes for its resources of S3, in its order: what was applied is read
back without a difference, changed, and destroyed.

No registry that is reached here serves the provider in a version with these resources, so its calls are made by boto3.
What it reads of a bucket, and which errors it takes for "there is none", is what its resources document.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import attrs
import boto3
import pytest
from botocore.exceptions import ClientError

from bleepstore_server import in_process

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

#: What `aws_s3_bucket` reads of each bucket at each plan, and the one error of each that means nothing.
READS: dict[str, str] = {
    "head_bucket": "",
    "get_bucket_policy": "NoSuchBucketPolicy",
    "get_bucket_acl": "",
    "get_bucket_cors": "NoSuchCORSConfiguration",
    "get_bucket_website": "NoSuchWebsiteConfiguration",
    "get_bucket_versioning": "",
    "get_bucket_accelerate_configuration": "",
    "get_bucket_request_payment": "",
    "get_bucket_logging": "",
    "get_bucket_lifecycle_configuration": "NoSuchLifecycleConfiguration",
    "get_bucket_replication": "ReplicationConfigurationNotFoundError",
    "get_bucket_encryption": "",
    "get_object_lock_configuration": "ObjectLockConfigurationNotFoundError",
    "get_bucket_location": "",
    "get_bucket_tagging": "NoSuchTagSet",
}


def of(name: str) -> Callable[[dict[str, Any]], Any]:
    return lambda answer: answer[name]


def everything(answer: dict[str, Any]) -> Any:
    return {name: value for name, value in answer.items() if name != "ResponseMetadata"}


@attrs.frozen
class Resource:
    """`first` and `second` are arguments of `put`; what `get` answers is what is `compared` of them. `delete` is an
    operation, or the argument of `put` that stands for none; `absent` is the code of the error of `get` afterwards, or
    what it answers then."""

    put: str
    get: str
    first: dict[str, Any]
    second: dict[str, Any]
    delete: str | dict[str, Any]
    absent: Any
    compared: Callable[[dict[str, Any]], Any] = everything
    bucket: str = "one"
    #: An operation that the bucket needs before, and its argument.
    before: tuple[str, dict[str, Any]] | None = None


def policy(action: str) -> dict[str, Any]:
    statement = {
        "Sid": "Logs", "Effect": "Allow", "Principal": {"Service": "logging.s3.amazonaws.com"}, "Action": action,
        "Resource": "arn:aws:s3:::one/*", "Condition": {"StringEquals": {"aws:SourceAccount": "123456789012"}},
    }  # fmt: skip
    return {"Policy": json.dumps({"Version": "2012-10-17", "Statement": [statement]})}


Pair = tuple[dict[str, Any], dict[str, Any]]


def pair(name: str, first: Any, second: Any) -> Pair:
    return {name: first}, {name: second}


def ownership(name: str) -> dict[str, Any]:
    return {"Rules": [{"ObjectOwnership": name}]}


def blocks(policies: bool) -> dict[str, Any]:
    names = ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets")
    return dict.fromkeys(names, True) | {"BlockPublicPolicy": policies}


def lifecycle(days: int) -> dict[str, Any]:
    rules: list[dict[str, Any]] = [
        {"ID": "all", "Status": "Enabled", "Filter": {}, "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7}},
        {"ID": "prefix", "Status": "Disabled", "Filter": {"Prefix": "tmp/"}, "Expiration": {"Days": days}},
        {
            "ID": "both", "Status": "Enabled",
            "Filter": {"And": {"Prefix": "logs/", "Tags": [{"Key": "a", "Value": "1"}], "ObjectSizeGreaterThan": 500}},
            "Transitions": [{"Days": 30, "StorageClass": "STANDARD_IA"}, {"Days": 60, "StorageClass": "GLACIER"}],
            "NoncurrentVersionExpiration": {"NoncurrentDays": 90, "NewerNoncurrentVersions": 3},
            "NoncurrentVersionTransitions": [{"NoncurrentDays": 30, "StorageClass": "STANDARD_IA"}],
        },
        {"ID": "markers", "Status": "Enabled", "Filter": {"Tag": {"Key": "b", "Value": "2"}},
         "Expiration": {"Days": 10}},
    ]  # fmt: skip
    return {
        "LifecycleConfiguration": {"Rules": rules}, "TransitionDefaultMinimumObjectSize": "all_storage_classes_128K",
    }  # fmt: skip


def website(error: str) -> dict[str, Any]:
    rule = {"Condition": {"KeyPrefixEquals": "docs/"}, "Redirect": {"ReplaceKeyPrefixWith": "documents/"}}
    found = {"IndexDocument": {"Suffix": "index.html"}, "ErrorDocument": {"Key": error}, "RoutingRules": [rule]}
    return {"WebsiteConfiguration": found}


def replication(status: str) -> dict[str, Any]:
    rule = {
        "ID": "all", "Priority": 1, "Status": status, "Filter": {"Prefix": ""},
        "DeleteMarkerReplication": {"Status": "Disabled"},
        "Destination": {"Bucket": "arn:aws:s3:::two", "StorageClass": "STANDARD"},
    }  # fmt: skip
    role = "arn:aws:iam::123456789012:role/replication"
    return {"ReplicationConfiguration": {"Role": role, "Rules": [rule]}}


def with_id(name: str, changes: Callable[[Any], dict[str, Any]], first: Any, second: Any) -> Pair:
    found = [{"Id": "entire", name: {"Id": "entire", **changes(value)}} for value in (first, second)]
    return found[0], found[1]


def inventory(frequency: str) -> dict[str, Any]:
    destination = {"S3BucketDestination": {"Bucket": "arn:aws:s3:::two", "Format": "CSV", "Prefix": "inventory"}}
    return {
        "Destination": destination, "IsEnabled": True, "IncludedObjectVersions": "All",
        "OptionalFields": ["Size", "ETag"], "Schedule": {"Frequency": frequency},
    }  # fmt: skip


def encrypted(kind: str, **more: Any) -> dict[str, Any]:
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": kind, **more}, "BucketKeyEnabled": kind != "AES256"}
    return {"ServerSideEncryptionConfiguration": {"Rules": [rule]}}


def retained(mode: str, **period: int) -> dict[str, Any]:
    rule = {"DefaultRetention": {"Mode": mode, **period}}
    return {"ObjectLockConfiguration": {"ObjectLockEnabled": "Enabled", "Rule": rule}}


def cors(*origins: str) -> dict[str, Any]:
    rules: list[dict[str, Any]] = [
        {"ID": "app", "AllowedMethods": ["PUT", "POST"], "AllowedOrigins": list(origins), "AllowedHeaders": ["*"],
         "ExposeHeaders": ["ETag"], "MaxAgeSeconds": 3000},
        {"AllowedMethods": ["GET"], "AllowedOrigins": ["*"]},
    ]  # fmt: skip
    return {"CORSConfiguration": {"CORSRules": rules}}


def grants(permission: str) -> dict[str, Any]:
    owner = {"ID": "bleepstore", "DisplayName": "bleepstore"}
    logs = {"Type": "Group", "URI": "http://acs.amazonaws.com/groups/s3/LogDelivery"}
    me = {"Type": "CanonicalUser", "ID": "bleepstore", "DisplayName": "bleepstore"}
    listed = [{"Grantee": me, "Permission": "FULL_CONTROL"}, {"Grantee": logs, "Permission": permission}]
    return {"AccessControlPolicy": {"Owner": owner, "Grants": listed}}


TAGS = ([{"Key": "env", "Value": "test"}, {"Key": "team", "Value": "web"}], [{"Key": "team", "Value": "data"}])
EVENTS = {"QueueConfigurations": [{"Id": "q", "QueueArn": "arn:aws:sqs:us-east-1:123456789012:q",
                                   "Events": ["s3:ObjectCreated:*"],
                                   "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": "in/"}]}}}],
          "EventBridgeConfiguration": {}}  # fmt: skip

RESOURCES: dict[str, Resource] = {
    "ownership_controls": Resource(
        "put_bucket_ownership_controls", "get_bucket_ownership_controls",
        *pair("OwnershipControls", ownership("BucketOwnerPreferred"), ownership("ObjectWriter")),
        "delete_bucket_ownership_controls", "OwnershipControlsNotFoundError",
    ),
    "public_access_block": Resource(
        "put_public_access_block", "get_public_access_block",
        *pair("PublicAccessBlockConfiguration", blocks(False), blocks(True)),
        "delete_public_access_block", "NoSuchPublicAccessBlockConfiguration",
    ),
    "policy": Resource(
        "put_bucket_policy", "get_bucket_policy", policy("s3:PutObject"), policy("s3:GetObject"),
        "delete_bucket_policy", "NoSuchBucketPolicy",
    ),
    "acl": Resource(
        "put_bucket_acl", "get_bucket_acl", grants("READ_ACP"), grants("WRITE"), {"ACL": "private"},
        None, compared=of("AccessControlPolicy"),
        before=("put_bucket_ownership_controls",
                {"OwnershipControls": ownership("BucketOwnerPreferred")}),
    ),
    "cors_configuration": Resource(
        "put_bucket_cors", "get_bucket_cors", cors("https://a.example"), cors("https://a.example", "https://*.b.example"),
        "delete_bucket_cors", "NoSuchCORSConfiguration", compared=of("CORSConfiguration"),
    ),
    "versioning": Resource(
        "put_bucket_versioning", "get_bucket_versioning",
        *pair("VersioningConfiguration", {"Status": "Enabled"}, {"Status": "Suspended"}),
        {"VersioningConfiguration": {"Status": "Suspended"}}, {"Status": "Suspended"},
        compared=of("VersioningConfiguration"),
    ),
    "lifecycle_configuration": Resource(
        "put_bucket_lifecycle_configuration", "get_bucket_lifecycle_configuration", lifecycle(10), lifecycle(20),
        "delete_bucket_lifecycle", "NoSuchLifecycleConfiguration",
        compared=lambda given: {**given["LifecycleConfiguration"],
                                "TransitionDefaultMinimumObjectSize": "all_storage_classes_128K"},
    ),
    "server_side_encryption_configuration": Resource(
        "put_bucket_encryption", "get_bucket_encryption", encrypted("AES256"),
        encrypted("aws:kms", KMSMasterKeyID="key-1"), "delete_bucket_encryption", encrypted("AES256"),
    ),
    "request_payment_configuration": Resource(
        "put_bucket_request_payment", "get_bucket_request_payment",
        *pair("RequestPaymentConfiguration", {"Payer": "Requester"}, {"Payer": "BucketOwner"}),
        {"RequestPaymentConfiguration": {"Payer": "BucketOwner"}}, {"Payer": "BucketOwner"},
        compared=of("RequestPaymentConfiguration"),
    ),
    "logging": Resource(
        "put_bucket_logging", "get_bucket_logging",
        *pair("BucketLoggingStatus", *pair("LoggingEnabled", {"TargetBucket": "two", "TargetPrefix": "log/"},
                                           {"TargetBucket": "two", "TargetPrefix": "logs/"})),
        {"BucketLoggingStatus": {}}, {}, compared=of("BucketLoggingStatus"),
    ),
    "website_configuration": Resource(
        "put_bucket_website", "get_bucket_website", website("404.html"), website("error.html"),
        "delete_bucket_website", "NoSuchWebsiteConfiguration", compared=of("WebsiteConfiguration"),
    ),
    "notification": Resource(
        "put_bucket_notification_configuration", "get_bucket_notification_configuration",
        {"NotificationConfiguration": EVENTS, "SkipDestinationValidation": True},
        {"NotificationConfiguration": {"EventBridgeConfiguration": {}}},
        {"NotificationConfiguration": {}}, {}, compared=of("NotificationConfiguration"),
    ),
    "tagging": Resource(
        "put_bucket_tagging", "get_bucket_tagging", *pair("Tagging", *pair("TagSet", *TAGS)),
        "delete_bucket_tagging", "NoSuchTagSet", compared=of("Tagging"),
    ),
    "accelerate_configuration": Resource(
        "put_bucket_accelerate_configuration", "get_bucket_accelerate_configuration",
        *pair("AccelerateConfiguration", {"Status": "Enabled"}, {"Status": "Suspended"}),
        {"AccelerateConfiguration": {"Status": "Suspended"}}, {"Status": "Suspended"},
        compared=of("AccelerateConfiguration"),
    ),
    "metric": Resource(
        "put_bucket_metrics_configuration", "get_bucket_metrics_configuration",
        *with_id("MetricsConfiguration", lambda prefix: {"Filter": {"Prefix": prefix}}, "a/", "b/"),
        "delete_bucket_metrics_configuration", "NoSuchConfiguration",
        compared=lambda given: {"MetricsConfiguration": given["MetricsConfiguration"]},
    ),
    "inventory": Resource(
        "put_bucket_inventory_configuration", "get_bucket_inventory_configuration",
        *with_id("InventoryConfiguration", inventory, "Daily", "Weekly"),
        "delete_bucket_inventory_configuration", "NoSuchConfiguration",
        compared=lambda given: {"InventoryConfiguration": given["InventoryConfiguration"]},
    ),
    "analytics_configuration": Resource(
        "put_bucket_analytics_configuration", "get_bucket_analytics_configuration",
        *with_id("AnalyticsConfiguration",
                 lambda prefix: {"Filter": {"Prefix": prefix}, "StorageClassAnalysis": {}}, "a/", "b/"),
        "delete_bucket_analytics_configuration", "NoSuchConfiguration",
        compared=lambda given: {"AnalyticsConfiguration": given["AnalyticsConfiguration"]},
    ),
    "intelligent_tiering_configuration": Resource(
        "put_bucket_intelligent_tiering_configuration", "get_bucket_intelligent_tiering_configuration",
        *with_id("IntelligentTieringConfiguration",
                 lambda days: {"Status": "Enabled", "Tierings": [{"Days": days, "AccessTier": "ARCHIVE_ACCESS"}]},
                 125, 180),
        "delete_bucket_intelligent_tiering_configuration", "NoSuchConfiguration",
        compared=lambda given: {"IntelligentTieringConfiguration": given["IntelligentTieringConfiguration"]},
    ),
    "object_lock_configuration": Resource(
        "put_object_lock_configuration", "get_object_lock_configuration",
        retained("GOVERNANCE", Days=5), retained("COMPLIANCE", Years=1),
        {"ObjectLockConfiguration": {"ObjectLockEnabled": "Enabled"}},
        {"ObjectLockConfiguration": {"ObjectLockEnabled": "Enabled"}}, bucket="two",
    ),
    "replication_configuration": Resource(
        "put_bucket_replication", "get_bucket_replication", replication("Enabled"), replication("Disabled"),
        "delete_bucket_replication", "ReplicationConfigurationNotFoundError",
        before=("put_bucket_versioning", {"VersioningConfiguration": {"Status": "Enabled"}}),
    ),
}  # fmt: skip


@pytest.fixture
def s3() -> Iterator[S3Client]:
    with in_process():
        client = boto3.client("s3", region_name="us-east-1")
        for bucket in ("one", "two"):
            client.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=bucket == "two")
        yield client
        client.close()


def call(s3: S3Client, operation: str, bucket: str, **arguments: Any) -> dict[str, Any]:
    answer: dict[str, Any] = getattr(s3, operation)(Bucket=bucket, **arguments)
    return answer


def check_plan(s3: S3Client, bucket: str) -> None:
    """The bucket itself is read, whatever else is configured."""
    for operation, absent in READS.items():
        try:
            call(s3, operation, bucket)
        except ClientError as error:
            if error.response["Error"]["Code"] != absent:
                raise


@pytest.mark.parametrize("resource", RESOURCES.values(), ids=RESOURCES)
def test_a_resource_is_applied_without_a_difference_and_destroyed(s3: S3Client, resource: Resource) -> None:
    at = {"Id": resource.first["Id"]} if "Id" in resource.first else {}
    bucket = resource.bucket
    if resource.before is not None:
        call(s3, resource.before[0], bucket, **resource.before[1])
    for given in (resource.first, resource.second, resource.second):
        call(s3, resource.put, bucket, **given)
        assert everything(call(s3, resource.get, bucket, **at)) == resource.compared(given)
    check_plan(s3, bucket)
    if isinstance(resource.delete, str):
        call(s3, resource.delete, bucket, **at)
    else:
        call(s3, resource.put, bucket, **resource.delete)
    if isinstance(resource.absent, str):
        with pytest.raises(ClientError) as absent:
            call(s3, resource.get, bucket, **at)
        assert absent.value.response["Error"]["Code"] == resource.absent
    elif resource.absent is not None:
        assert everything(call(s3, resource.get, bucket, **at)) == resource.absent
    s3.delete_bucket(Bucket=bucket)


def test_an_object_is_applied_changed_and_destroyed(s3: S3Client) -> None:
    """`aws_s3_object` with tags, metadata and a list, in a bucket that keeps versions; `force_destroy` empties it."""
    controls: Any = {"Rules": [{"ObjectOwnership": "BucketOwnerPreferred"}]}
    s3.put_bucket_ownership_controls(Bucket="one", OwnershipControls=controls)
    s3.delete_public_access_block(Bucket="one")
    s3.put_bucket_versioning(Bucket="one", VersioningConfiguration={"Status": "Enabled"})
    given: Any = {
        "ContentType": "text/html", "CacheControl": "max-age=60", "ContentLanguage": "en", "ContentEncoding": "gzip",
        "ContentDisposition": "inline", "Metadata": {"color": "red"}, "WebsiteRedirectLocation": "/index.html",
        "StorageClass": "STANDARD_IA",
    }  # fmt: skip
    etags = []
    for body, tags in ((b"first", "env=test&team=web"), (b"second", "team=data")):
        put = s3.put_object(Bucket="one", Key="k", Body=body, Tagging=tags, ACL="public-read", **given)
        head = s3.head_object(Bucket="one", Key="k", ChecksumMode="ENABLED")
        assert {name: head[name] for name in given} == given  # type: ignore[literal-required]
        assert (head["ETag"], head["VersionId"]) == (put["ETag"], put["VersionId"])
        shown = s3.get_object_tagging(Bucket="one", Key="k")["TagSet"]
        assert [f"{tag['Key']}={tag['Value']}" for tag in shown] == tags.split("&")
        etags.append(head["ETag"])
    assert etags[0] != etags[1]
    s3.put_object_tagging(Bucket="one", Key="k", Tagging={"TagSet": [{"Key": "team", "Value": "web"}]})
    s3.put_object_acl(Bucket="one", Key="k", ACL="private")
    s3.delete_object_tagging(Bucket="one", Key="k")
    assert s3.get_object_tagging(Bucket="one", Key="k")["TagSet"] == []
    assert [grant["Permission"] for grant in s3.get_object_acl(Bucket="one", Key="k")["Grants"]] == ["FULL_CONTROL"]
    s3.copy_object(Bucket="one", Key="copied", CopySource="one/k", TaggingDirective="REPLACE", Tagging="a=1")
    with pytest.raises(ClientError, match="BucketNotEmpty"):
        s3.delete_bucket(Bucket="one")
    for page in s3.get_paginator("list_object_versions").paginate(Bucket="one"):
        found = [{"Key": one["Key"], "VersionId": one["VersionId"]} for one in page["Versions"]]
        assert "Errors" not in s3.delete_objects(Bucket="one", Delete={"Objects": found, "Quiet": True})  # type: ignore[typeddict-item]
    with pytest.raises(ClientError) as gone:
        s3.head_object(Bucket="one", Key="k")
    assert gone.value.response["Error"]["Code"] == "404"
    s3.delete_bucket(Bucket="one")

"""boto3's resources: what hangs on a bucket and on an object, as Python objects."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from bleepstore_server import in_process

READ = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::photos/*"}
POLICY = json.dumps({"Version": "2012-10-17", "Statement": [READ]})


@pytest.fixture
def bucket() -> Iterator[Any]:
    with in_process():
        s3: Any = boto3.resource("s3", region_name="us-east-1")
        found = s3.Bucket("photos")
        found.create(ObjectOwnership="BucketOwnerPreferred")
        s3.meta.client.delete_public_access_block(Bucket="photos")
        yield found
        s3.meta.client.close()


def code_of(call: Any) -> str:
    with pytest.raises(ClientError) as refused:
        call()
    code: str = refused.value.response["Error"]["Code"]
    return code


def test_the_policy_of_a_bucket(bucket: Any) -> None:
    policy = bucket.Policy()
    assert code_of(policy.load) == "NoSuchBucketPolicy"
    policy.put(Policy=POLICY)
    policy.reload()
    assert policy.policy == POLICY
    assert code_of(lambda: policy.put(Policy="{}")) == "MalformedPolicy"
    policy.delete()
    assert code_of(policy.reload) == "NoSuchBucketPolicy"


def test_the_lists_of_a_bucket_and_an_object(bucket: Any) -> None:
    everybody = "http://acs.amazonaws.com/groups/global/AllUsers"
    bucket.put_object(Key="k", Body=b"bytes")
    for acl in (bucket.Acl(), bucket.Object("k").Acl()):
        assert [grant["Permission"] for grant in acl.grants] == ["FULL_CONTROL"]
        acl.put(ACL="public-read")
        acl.reload()
        assert [grant["Grantee"].get("URI") for grant in acl.grants] == [None, everybody]
        acl.put(AccessControlPolicy={"Owner": acl.owner, "Grants": acl.grants[:1]})
        acl.reload()
        assert len(acl.grants) == 1


def test_the_cors_rules_of_a_bucket(bucket: Any) -> None:
    cors = bucket.Cors()
    assert code_of(cors.load) == "NoSuchCORSConfiguration"
    rules = [{"AllowedMethods": ["GET"], "AllowedOrigins": ["https://app.example.com"], "MaxAgeSeconds": 60}]
    cors.put(CORSConfiguration={"CORSRules": rules})
    cors.reload()
    assert cors.cors_rules == rules
    cors.delete()
    assert code_of(cors.reload) == "NoSuchCORSConfiguration"


def test_other_settings_of_a_bucket(bucket: Any) -> None:
    payer, versioning, tags = bucket.RequestPayment(), bucket.Versioning(), bucket.Tagging()
    assert payer.payer == "BucketOwner"
    payer.put(RequestPaymentConfiguration={"Payer": "Requester"})
    payer.reload()
    assert payer.payer == "Requester"
    assert not versioning.status
    versioning.enable()
    versioning.reload()
    assert versioning.status == "Enabled"
    tags.put(Tagging={"TagSet": [{"Key": "team", "Value": "web"}]})
    assert tags.tag_set == [{"Key": "team", "Value": "web"}]
    tags.delete()
    bucket.put_object(Key="k", Body=b"bytes")
    bucket.Object("k").delete()
    assert [version.size for version in bucket.object_versions.all()] == [5, None]
    bucket.object_versions.delete()
    bucket.delete()

"""What a provider refuses for good is not called passing: each status of each provider's table."""

from __future__ import annotations

from pathlib import Path

import pytest
import requests
from azure.core.exceptions import HttpResponseError
from botocore.exceptions import ClientError
from google.api_core import exceptions as api

import bleepstore
from bleepstore.backends.aws import errors as aws
from bleepstore.backends.azure import errors as azure
from bleepstore.backends.gateway.retry import Transient
from bleepstore.backends.gcs import errors as gcs
from bleepstore.errors import InvalidRequest, ServiceUnavailable
from bleepstore_server.clients import client_for
from tests.backends.http_faults import Answer, HttpProxy
from tests.backends.test_aws_refusals import container, credentials, native, proxy

__all__ = ["container", "credentials", "native", "proxy"]

WORDS = "Object name contains a segment that is too long."
FOR_GOOD = [400, 402, 405, 406, 411, 413, 414, 415, 417, 422, 431]


def aws_error(status: int, code: str = "InvalidArgument") -> Exception:
    answer = {"Error": {"Code": code, "Message": WORDS}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "PutObject")  # type: ignore[arg-type]  # what is left out is not asked for


def gcs_error(status: int) -> Exception:
    response = requests.Response()
    response.status_code = status
    response._content = b'{"error": {"message": "%s"}}' % WORDS.encode()
    response.request = requests.Request("PUT", "http://storage.invalid/o").prepare()
    error: Exception = api.from_http_response(response)  # type: ignore[no-untyped-call]
    return error


def azure_error(status: int) -> Exception:
    error = HttpResponseError(message=WORDS)
    error.status_code = status
    return error


PROVIDERS = pytest.mark.parametrize(
    ("classify", "make"),
    [(aws.classify, aws_error), (gcs.classify, gcs_error), (azure.classify, azure_error)],
    ids=["aws", "gcs", "azure"],
)


@PROVIDERS
@pytest.mark.parametrize("status", FOR_GOOD)
def test_a_refusal_of_the_request_itself_is_for_good_and_has_the_words_of_the_provider(
    classify: object, make: object, status: int
) -> None:
    assert callable(classify)
    assert callable(make)
    found = classify(make(status))
    assert isinstance(found, InvalidRequest)
    assert WORDS in found.message
    assert "for good" in found.message


@PROVIDERS
@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_what_may_pass_is_tried_again(classify: object, make: object, status: int) -> None:
    assert callable(classify)
    assert callable(make)
    assert isinstance(classify(make(status)), Transient)


@pytest.mark.parametrize("code", ["RequestTimeout", "BadDigest", "IncompleteBody"])
def test_what_happened_to_the_bytes_on_the_way_is_tried_again_though_s3_says_400(code: str) -> None:
    assert isinstance(aws.classify(aws_error(400, code)), Transient)


@pytest.mark.parametrize("key", ["a//b", f"deep/{'x' * 256}/k"])
def test_a_key_that_the_far_end_refuses_is_a_400_with_its_words(
    container: str, proxy: HttpProxy, tmp_path: Path, key: str
) -> None:
    document = f"<Error><Code>XMinioInvalidObjectName</Code><Message>{WORDS}</Message></Error>".encode()
    with bleepstore.open(f"s3://{container}", catalog=tmp_path / "catalog", endpoint_url=proxy.url) as store:
        s3 = client_for(store)
        s3.create_bucket(Bucket="photos")
        proxy.before = lambda request: (
            Answer(400, [("Content-Type", "application/xml")], document) if request.method == "PUT" else None
        )
        seen = len(proxy.seen)
        with pytest.raises(s3.exceptions.ClientError) as refused:
            s3.put_object(Bucket="photos", Key=key, Body=b"x")
        assert refused.value.response["Error"]["Code"] == "InvalidRequest"
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
        assert WORDS in refused.value.response["Error"]["Message"]
        assert sum(request.method == "PUT" for request in proxy.seen[seen:]) == 1
        with pytest.raises(InvalidRequest, match="for good"):
            store.put_object("photos", key, b"x")
        assert not issubclass(InvalidRequest, ServiceUnavailable)
        s3.close()

"""Every operation of S3 has a row, and no request falls through to another operation."""

from __future__ import annotations

from typing import Any

import botocore.session
import pytest
from botocore.model import OperationModel

from bleepstore_server.exchange import Request, join_fields, parse_request
from bleepstore_server.router import ROUTES, SHARED_ROWS, Resource, find_route
from bleepstore_server.wire.errors import RequestError

SERVICE = botocore.session.get_session().get_service_model("s3")
#: Operations that botocore's model has but that are sent to another service or host.
ELSEWHERE = {"WriteGetObjectResponse"}


def request(method: str, target: str, *headers: tuple[str, str]) -> Request:
    return parse_request({"REQUEST_METHOD": method, "RAW_URI": target, "bleepstore.headers": join_fields(headers)})


def refusal(method: str, target: str, *headers: tuple[str, str]) -> str:
    with pytest.raises(RequestError) as refused:
        find_route(request(method, target, *headers))
    return refused.value.code


def sample(operation: OperationModel) -> Request:
    """A request as botocore would send it: the method and URI of the model, with every required parameter."""
    target = operation.http["requestUri"].replace("{Bucket}", "bucket").replace("{Key+}", "folder/key")
    headers = []
    query = []
    shape = operation.input_shape
    for name, member in shape.members.items() if shape is not None else ():
        assert shape is not None
        if name not in shape.required_members:
            continue
        match member.serialization.get("location"):
            case "querystring":
                query.append(f"{member.serialization['name']}=1")
            case "header":
                headers.append((member.serialization["name"], "bucket/key"))
            case _:
                pass
    if query:
        target += ("&" if "?" in target else "?") + "&".join(query)
    return request(operation.http["method"], target, *headers)


@pytest.mark.parametrize("name", sorted(set(SERVICE.operation_names) - ELSEWHERE))
def test_every_operation_of_botocores_model_finds_its_row(name: str) -> None:
    route = find_route(sample(SERVICE.operation_model(name)))
    assert route.operation == SHARED_ROWS.get(name, name)


def test_every_row_is_an_operation_of_s3_and_stands_once() -> None:
    names = [route.operation for route in ROUTES]
    assert len(set(names)) == len(names)
    known = {*SERVICE.operation_names, "PostObject"}
    assert set(names) <= known, sorted(set(names) - known)
    keys = [(route.method, route.resource, route.sub_resource, route.copies) for route in ROUTES]
    assert len(set(keys)) == len(keys)


def test_what_the_issue_asks_for_is_implemented() -> None:
    implemented = {route.operation for route in ROUTES if route.function is not None}
    assert implemented >= {
        "CreateBucket", "DeleteBucket", "HeadBucket", "ListBuckets", "GetBucketLocation", "GetBucketAcl",
        "PutBucketAcl", "PutObject", "GetObject", "HeadObject", "DeleteObject", "DeleteObjects", "CopyObject",
        "ListObjects", "ListObjectsV2", "GetObjectAcl", "PutObjectAcl", "GetObjectAttributes", "UploadPart",
        "UploadPartCopy", "CompleteMultipartUpload", "AbortMultipartUpload", "ListMultipartUploads", "ListParts",
        "CreateMultipartUpload", "PostObject",
    }  # fmt: skip


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE"])
@pytest.mark.parametrize("path", ["/bucket", "/bucket/key"])
@pytest.mark.parametrize("parameter", ["unheard-of", "unheard-of=", "replicationMetrics", "tiering"])
def test_a_write_with_an_unknown_sub_resource_never_falls_through(method: str, path: str, parameter: str) -> None:
    assert refusal(method, f"{path}?{parameter}") == "NotImplemented"


@pytest.mark.parametrize("route", [r for r in ROUTES if r.sub_resource], ids=lambda r: r.operation)
@pytest.mark.parametrize("method", ["GET", "PUT", "POST", "DELETE", "HEAD"])
def test_a_sub_resource_never_falls_through_to_another_operation(method: str, route: Any) -> None:
    target = "/bucket" if route.resource is Resource.BUCKET else "/bucket/key"
    target += f"?{route.sub_resource}=1"
    rows = {r.method: r for r in ROUTES if (r.resource, r.sub_resource) == (route.resource, route.sub_resource)}
    if method in rows:
        assert find_route(request(method, target)).sub_resource == route.sub_resource
    elif route.sub_resource == "list-type" or not any(row.function for row in rows.values()):
        assert refusal(method, target) == "NotImplemented"
    else:
        assert refusal(method, target) == "MethodNotAllowed"


@pytest.mark.parametrize(
    ("target", "allowed", "kind"),
    [
        ("/bucket?location", "GET", "LOCATION"),
        ("/bucket?uploads", "GET", "UPLOADS"),
        ("/bucket?versioning", "GET, PUT", "VERSIONING"),
        ("/bucket?acl", "GET, PUT", "ACL"),
        ("/bucket?policy", "DELETE, GET, PUT", "BUCKETPOLICY"),
        ("/bucket?versions", "GET", "BUCKETVERSIONS"),
        ("/bucket/key?tagging", "DELETE, GET, PUT", "TAGGING"),
        ("/bucket/key?uploadId=abc", "DELETE, GET, POST", "UPLOAD"),
    ],
)
def test_who_asks_for_a_sub_resource_by_another_method_is_told_its_methods(
    target: str, allowed: str, kind: str
) -> None:
    """As S3 answers a HEAD of each (measured for backlot issue 230)."""
    with pytest.raises(RequestError) as refused:
        find_route(request("HEAD", target))
    assert (refused.value.code, refused.value.status) == ("MethodNotAllowed", 405)
    assert refused.value.headers == [("Allow", allowed)]
    assert refused.value.fields == {"Method": "HEAD", "ResourceType": kind}


@pytest.mark.parametrize("target", ["/bucket/key?versioning", "/bucket?retention", "/bucket/key?annotation"])
@pytest.mark.parametrize("method", ["HEAD", "POST"])
def test_a_sub_resource_of_another_resource_is_not_implemented(method: str, target: str) -> None:
    assert refusal(method, target) == "NotImplemented"


@pytest.mark.parametrize("target", ["/", "/bucket", "/bucket/key"])
@pytest.mark.parametrize("method", ["PATCH", "TRACE", "CONNECT", "BREW", "get"])
def test_other_methods_are_not_allowed(method: str, target: str) -> None:
    assert refusal(method, target) == "MethodNotAllowed"


@pytest.mark.parametrize(("method", "target"), [("PUT", "/"), ("POST", "/"), ("DELETE", "/"), ("POST", "/bucket/key")])
def test_a_method_without_an_operation_is_not_allowed(method: str, target: str) -> None:
    assert refusal(method, target) == "MethodNotAllowed"


def operation(method: str, target: str, *headers: tuple[str, str]) -> str:
    return find_route(request(method, target, *headers)).operation


def test_markers_of_sdks_are_ignored() -> None:
    assert operation("PUT", "/b/k?x-id=PutObject") == "PutObject"
    assert operation("GET", "/b/k?x-id=GetObject&X-Amz-Expires=1&X-Amz-Whatever=2") == "GetObject"
    assert operation("GET", "/b/k?response-content-type=a&versionId=null&partNumber=1") == "GetObject"
    assert operation("GET", "/b/k?AWSAccessKeyId=A&Signature=S&Expires=1") == "GetObject"


def test_an_empty_value_is_the_same_as_none() -> None:
    assert operation("GET", "/b?uploads") == operation("GET", "/b?uploads=") == "ListMultipartUploads"
    assert operation("POST", "/b/k?uploads") == operation("POST", "/b/k?uploads=") == "CreateMultipartUpload"


def test_a_bucket_with_and_without_its_slash() -> None:
    assert operation("PUT", "/b") == operation("PUT", "/b/") == "CreateBucket"
    assert operation("GET", "/b?list-type=2") == operation("GET", "/b/?list-type=2") == "ListObjectsV2"


def test_copies_are_told_by_their_header() -> None:
    source = ("x-amz-copy-source", "a/b")
    assert operation("PUT", "/b/k", source) == "CopyObject"
    assert operation("PUT", "/b/k?uploadId=u&partNumber=1", source) == "UploadPartCopy"
    assert operation("PUT", "/b/k?uploadId=u&partNumber=1") == "UploadPart"
    for method in ("GET", "HEAD", "DELETE"):
        assert refusal(method, "/b/k", source) == "InvalidArgument"


@pytest.mark.parametrize("target", ["/b?acl&policy", "/b?list-type=2&versions", "/b/k?acl&tagging"])
def test_two_sub_resources_contradict_each_other(target: str) -> None:
    assert refusal("GET", target) == "InvalidArgument"


def test_parameters_that_s3_does_not_know_are_ignored() -> None:
    assert operation("GET", "/b/k?v=123&t=5") == "GetObject"
    assert operation("GET", "/b?v=123&unheard-of") == "ListObjects"
    assert operation("GET", "/?Version=2006-03-01") == "ListBuckets"
    assert operation("PUT", "/b/k?Version=2006-03-01") == "PutObject"
    for method, target in (
        ("PUT", "/b/k?partNumber=1"),  # an UploadPart without its upload
        ("PUT", "/b/k?versionId=1"),
        ("PUT", "/b/k?max-keys=1"),
        ("DELETE", "/b/k?partNumber=1"),
        ("PUT", "/b?versionId=1"),
        ("DELETE", "/b?prefix=a"),
        ("POST", "/b?delete&prefix=a"),
    ):
        assert refusal(method, target) == "InvalidArgument"


def test_every_row_that_is_implemented_names_its_action() -> None:
    for route in ROUTES:
        assert (route.action is None) == (route.function is None), route.operation


def test_only_what_is_of_no_bucket_yet_or_says_who_asks_answers_for_itself() -> None:
    """HeadBucket refuses with the bucket's region."""
    own = {route.operation for route in ROUTES if route.own_answer}
    assert own == {"ListBuckets", "CreateBucket", "HeadBucket", "PostObject"}

"""Refusals as S3 words them: the table against what S3 documents, real answers against those that S3 gave."""

from __future__ import annotations

import ast
import base64
import hashlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import bleepstore_server
from bleepstore import errors
from bleepstore.errors import S3Error
from bleepstore_server.faults import InternalError, Refuse, SlowDown
from bleepstore_server.http1.heads import REFUSALS
from bleepstore_server.wire.errors import ERRORS, RequestError
from bleepstore_server.wire.refusals import translate
from bleepstore_server.wire.sigv4 import presign
from tests.server.conftest import Server
from tests.server.tools import UNSIGNED, Wire, failure

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

#: code: (status, words that S3's message has), after the API reference ("List of error codes") and answers of S3 that
#: public bug reports quote. Where the two differ in a word, these are the words of the answers.
DOCUMENTED = {
    "AccessDenied": (403, "Access Denied"),
    "AccessForbidden": (403, "CORSResponse: CORS is not enabled for this bucket."),
    "BadDigest": (400, "The Content-MD5 you specified did not match what we received."),
    "BucketAlreadyExists": (
        409,
        "The requested bucket name is not available. The bucket namespace is shared by all users of the system. "
        "Please select a different name and try again.",
    ),
    "BucketAlreadyOwnedByYou": (
        409,
        "Your previous request to create the named bucket succeeded and you already own it.",
    ),
    "BucketNotEmpty": (409, "The bucket you tried to delete is not empty"),
    "ConditionalRequestConflict": (
        409,
        "The conditional request cannot succeed due to a conflicting operation against this resource.",
    ),
    "EntityTooLarge": (400, "Your proposed upload exceeds the maximum allowed size"),
    "EntityTooSmall": (400, "Your proposed upload is smaller than the minimum allowed size"),
    "IncompleteBody": (400, "You did not provide the number of bytes specified by the Content-Length HTTP header"),
    "InternalError": (500, "We encountered an internal error. Please try again."),
    "InvalidAccessKeyId": (403, "The AWS Access Key Id you provided does not exist in our records."),
    "InvalidArgument": (400, "Invalid Argument"),
    "InvalidBucketName": (400, "The specified bucket is not valid."),
    "InvalidDigest": (400, "The Content-MD5 you specified was invalid."),
    "InvalidEncryptionAlgorithmError": (
        400,
        "The encryption request you specified is not valid. The valid value is AES256.",
    ),
    "InvalidLocationConstraint": (400, "The specified location-constraint is not valid"),
    "InvalidObjectState": (403, "The operation is not valid for the object's storage class"),
    "InvalidPart": (
        400,
        "One or more of the specified parts could not be found.  The part may not have been uploaded, or the "
        "specified entity tag may not match the part's entity tag.",
    ),
    "InvalidPartOrder": (
        400,
        "The list of parts was not in ascending order. Parts must be ordered by part number.",
    ),
    "InvalidRange": (416, "The requested range is not satisfiable"),
    "InvalidStorageClass": (400, "The storage class you specified is not valid"),
    "InvalidURI": (400, "Couldn't parse the specified URI."),
    "KeyTooLongError": (400, "Your key is too long"),
    "MalformedACLError": (
        400,
        "The XML you provided was not well-formed or did not validate against our published schema",
    ),
    "MalformedPOSTRequest": (400, "The body of your POST request is not well-formed multipart/form-data."),
    "MalformedXML": (
        400,
        "The XML you provided was not well-formed or did not validate against our published schema",
    ),
    "MaxMessageLengthExceeded": (400, "Your request was too big."),
    "MaxPostPreDataLengthExceededError": (400, "Your POST request fields preceding the upload file were too large."),
    "MetadataTooLarge": (400, "Your metadata headers exceed the maximum allowed metadata size"),
    "MethodNotAllowed": (405, "The specified method is not allowed against this resource."),
    "MissingContentLength": (411, "You must provide the Content-Length HTTP header."),
    "NoSuchBucket": (404, "The specified bucket does not exist"),
    "NoSuchKey": (404, "The specified key does not exist."),
    "NoSuchUpload": (
        404,
        "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or "
        "completed.",
    ),
    "NoSuchVersion": (404, "The specified version does not exist."),
    "NotImplemented": (501, "A header you provided implies functionality that is not implemented"),
    "OperationAborted": (
        409,
        "A conflicting conditional operation is currently in progress against this resource. Please try again.",
    ),
    "PreconditionFailed": (412, "At least one of the pre-conditions you specified did not hold"),
    "RequestTimeTooSkewed": (403, "The difference between the request time and the current time is too large."),
    "RequestTimeout": (
        400,
        "Your socket connection to the server was not read from or written to within the timeout period. Idle "
        "connections will be closed.",
    ),
    "ServiceUnavailable": (503, "Service is unable to handle request."),
    "SignatureDoesNotMatch": (
        403,
        "The request signature we calculated does not match the signature you provided. Check your key and signing "
        "method.",
    ),
    "SlowDown": (503, "Please reduce your request rate."),
    "TooManyConfigurations": (
        400,
        "You are attempting to create a new configuration but have already reached the 1,000-configuration limit.",
    ),
    "UnexpectedContent": (400, "This request does not support content"),
    "UnresolvableGrantByEmailAddress": (
        400,
        "The e-mail address you provided does not match any account on record.",
    ),
    "XAmzContentSHA256Mismatch": (
        400,
        "The provided 'x-amz-content-sha256' header does not match what was computed.",
    ),
}


# -- the table


@pytest.mark.parametrize("code", DOCUMENTED)
def test_the_table_has_what_s3_documents(code: str) -> None:
    assert ERRORS[code][:2] == DOCUMENTED[code]


def _refusals(kind: type[S3Error]) -> list[type[S3Error]]:
    return [kind, *(found for child in kind.__subclasses__() for found in _refusals(child))]


def test_every_refusal_of_the_library_is_in_the_table() -> None:
    ours = [kind for kind in _refusals(S3Error) if kind.__module__.startswith(errors.__name__)]
    assert len(ours) > 30
    assert {kind.code for kind in ours} <= ERRORS.keys()


def _codes_in(tree: ast.Module) -> Iterator[str]:
    """The codes that a module names: what `RequestError` is called with, also by way of a variable, and those of a
    worker's refusals and of faults."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.args:
            name = getattr(node.func, "id", None) or getattr(node.func, "attr", "")
            if name == "RequestError" and isinstance(node.args[0], ast.Constant):
                yield str(node.args[0].value)
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "error":
            yield from (str(part.value) for part in [node.value] if isinstance(part, ast.Constant))


def test_every_refusal_of_the_server_is_in_the_table() -> None:
    root = Path(bleepstore_server.__file__).parent
    seen = {code for path in root.rglob("*.py") for code in _codes_in(ast.parse(path.read_text("utf-8")))}
    seen |= {refusal.code for refusal in REFUSALS}
    seen |= {fault().code for fault in (Refuse, SlowDown, InternalError)}
    assert len(seen) >= 35
    assert seen <= ERRORS.keys()
    with pytest.raises(KeyError):
        RequestError("NoSuchCode", "Only a message.")


# -- what a message that never varies leaves to say is said beside it


def test_a_detail_does_not_replace_a_message_that_programs_match() -> None:
    detailed = RequestError("MalformedXML", "The document must be a Delete.")
    assert detailed.message == DOCUMENTED["MalformedXML"][1]
    assert detailed.fields == {"additionalMessage": "The document must be a Delete."}
    assert "must be a Delete" in str(detailed)
    assert RequestError("InvalidArgument", "Unknown metadata directive.").message == "Unknown metadata directive."


def test_a_reason_of_the_store_does_not_replace_a_message_that_programs_match() -> None:
    name = translate(errors.InvalidBucketName("ab", "It is too short."))
    assert (name.status, name.message) == DOCUMENTED["InvalidBucketName"]
    assert name.fields == {"BucketName": "ab", "additionalMessage": "It is too short."}
    cluster = translate(errors.ServiceUnavailable("There is no leader."))
    assert cluster.message == "There is no leader."
    assert translate(errors.ServiceUnavailable()).message == DOCUMENTED["ServiceUnavailable"][1]


def test_arguments_of_the_library_are_named_as_those_of_the_request() -> None:
    refused = translate(errors.InvalidArgument("Not good.", "source_range", "1-9"))
    assert refused.fields == {"ArgumentName": "x-amz-copy-source-range", "ArgumentValue": "bytes=1-9"}


# -- real answers


def _answer(wire: Wire, method: str, target: str, *args: Any, **options: Any) -> tuple[int, dict[str, str]]:
    answer = wire.send(method, target, *args, **options)
    error = dict(answer.error)
    for common in ("Resource", "RequestId", "HostId"):
        del error[common]
    return answer.status, error


def test_what_does_not_exist(server: Server, bucket: str) -> None:
    wire = Wire(server.url)
    status, error = _answer(wire, "GET", "/nobody")
    assert (status, error) == (
        404,
        {"Code": "NoSuchBucket", "Message": "The specified bucket does not exist", "BucketName": "nobody"},
    )
    status, error = _answer(wire, "GET", "/photos/k%C3%A9")
    assert status == 404
    assert (error["Code"], error["Message"], error["Key"]) == ("NoSuchKey", "The specified key does not exist.", "ké")
    _, error = _answer(wire, "GET", "/photos/k?uploadId=none")
    assert error["UploadId"] == "none"
    assert error["Message"].startswith("The specified upload does not exist. The upload ID may be invalid")


def test_digests_that_do_not_match(server: Server, bucket: str) -> None:
    wire = Wire(server.url)
    other = hashlib.md5(b"other", usedforsecurity=False).digest()
    own = base64.b64encode(hashlib.md5(b"body", usedforsecurity=False).digest()).decode()
    _, error = _answer(wire, "PUT", "/photos/k", b"body", {"Content-MD5": base64.b64encode(other).decode()})
    assert error == {
        "Code": "BadDigest",
        "Message": "The Content-MD5 you specified did not match what we received.",
        "ExpectedDigest": other.hex(),
        "CalculatedDigest": own,
    }
    _, error = _answer(wire, "PUT", "/photos/k", b"body", {"Content-MD5": "dummy"})
    assert (error["Code"], error["Content-MD5"]) == ("InvalidDigest", "dummy")
    assert error["Message"] == "The Content-MD5 you specified was invalid."
    _, error = _answer(wire, "PUT", "/photos/k", b"body", {"x-amz-checksum-crc32": "AAAAAA=="})
    assert error["Message"] == "The CRC32 you specified did not match the calculated checksum."
    assert error["ExpectedDigest"] == "AAAAAA=="
    assert error["CalculatedDigest"] != "AAAAAA=="
    status, error = _answer(wire, "PUT", "/photos/k", b"body", payload="0" * 64)
    assert (status, error["Code"], error["Message"]) == (
        400,
        "XAmzContentSHA256Mismatch",
        DOCUMENTED["XAmzContentSHA256Mismatch"][1],
    )
    assert error["ClientComputedContentSHA256"] == "0" * 64
    assert error["S3ComputedContentSHA256"] == hashlib.sha256(b"body").hexdigest()


CHECKSUM = "x-amz-checksum-crc32"
NO_CHECKSUM = (
    "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer headers were found."
)
UNKNOWN_CHECKSUM = "The algorithm type you specified in x-amz-checksum- header is invalid."


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({CHECKSUM: ""}, f"Value for {CHECKSUM} header is invalid."),
        ({CHECKSUM: "AAA="}, f"Value for {CHECKSUM} header is invalid."),
        ({"x-amz-checksum-sha1": "AAAAAA=="}, "Value for x-amz-checksum-sha1 header is invalid."),
        ({"x-amz-checksum-sha256a": "dummy"}, UNKNOWN_CHECKSUM),
        ({"x-amz-sdk-checksum-algorithm": "CRC32"}, NO_CHECKSUM),
    ],
)
def test_checksums_that_cannot_be(server: Server, bucket: str, headers: dict[str, str], message: str) -> None:
    wire = Wire(server.url)
    assert _answer(wire, "PUT", "/photos/k", b"data", headers) == (400, {"Code": "InvalidRequest", "Message": message})
    assert wire.send("HEAD", "/photos/k").status == 404


def test_a_trailing_checksum_that_cannot_be(server: Server, bucket: str) -> None:
    headers = {"Content-Encoding": "aws-chunked", "x-amz-decoded-content-length": "4", "x-amz-trailer": CHECKSUM}
    body = b"4\r\ndata\r\n0\r\n" + CHECKSUM.encode() + b":AAA=\r\n\r\n"
    status, error = _answer(
        Wire(server.url), "PUT", "/photos/k", body, headers, payload="STREAMING-UNSIGNED-PAYLOAD-TRAILER"
    )
    assert (status, error["Code"]) == (400, "InvalidRequest")
    assert error["Message"] == f"Value for {CHECKSUM} trailing header is invalid."


def test_a_checksum_type_alone(server: Server, bucket: str) -> None:
    status, error = _answer(Wire(server.url), "POST", "/photos/k?uploads=", b"", {"x-amz-checksum-type": "COMPOSITE"})
    message = "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header."
    assert (status, error) == (400, {"Code": "InvalidRequest", "Message": message})


def test_a_part_number_without_an_upload(server: Server, bucket: str) -> None:
    status, error = _answer(Wire(server.url), "PUT", "/photos/k?partNumber=1", b"data")
    assert (status, error["ArgumentName"]) == (400, "partNumber")
    assert error["Message"] == "This operation does not accept partNumber without uploadId"


def test_a_range_of_a_part(server: Server, bucket: str, s3: S3Client) -> None:
    s3.put_object(Bucket="photos", Key="k", Body=b"data")
    message = "Cannot specify both Range header and partNumber query parameter"
    for text in ("bytes=0-1", "1-10"):
        found = _answer(Wire(server.url), "GET", "/photos/k?partNumber=1", b"", {"Range": text})
        assert found == (400, {"Code": "InvalidRequest", "Message": message})


@pytest.mark.parametrize("target", ["/photos/a%zz", "/photos/%ff"])
def test_a_target_that_cannot_be_read_is_named(server: Server, bucket: str, target: str) -> None:
    status, error = _answer(Wire(server.url), "GET", target)
    assert (status, error["Code"], error["URI"]) == (400, "InvalidURI", target)


def test_limits_name_themselves(server: Server, bucket: str, s3: S3Client) -> None:
    wire = Wire(server.url)
    _, error = _answer(wire, "PUT", "/photos/" + "k" * 1025, b"")
    assert error == {
        "Code": "KeyTooLongError",
        "Message": "Your key is too long",
        "Size": "1025",
        "MaxSizeAllowed": "1024",
    }
    _, error = _answer(wire, "PUT", "/photos/k", b"", {"x-amz-meta-a": "x" * 2100})
    assert error["MaxSizeAllowed"] == "2048"
    assert error["Message"] == "Your metadata headers exceed the maximum allowed metadata size"
    upload = s3.create_multipart_upload(Bucket=bucket, Key="multi")["UploadId"]
    parts: list[Any] = [
        {
            "PartNumber": number,
            "ETag": s3.upload_part(Bucket=bucket, Key="multi", UploadId=upload, PartNumber=number, Body=b"x")["ETag"],
        }
        for number in (1, 2)
    ]

    def complete(chosen: list[Any]) -> None:
        s3.complete_multipart_upload(Bucket=bucket, Key="multi", UploadId=upload, MultipartUpload={"Parts": chosen})

    with failure("EntityTooSmall", 400) as response:
        complete(parts)
    error = response["Error"]
    assert error["Message"] == "Your proposed upload is smaller than the minimum allowed size"
    assert (error["ProposedSize"], error["MinSizeAllowed"], error["PartNumber"]) == ("1", "5242880", "1")
    assert error["ETag"] == parts[0]["ETag"].strip('"')
    with failure("InvalidPart", 400) as response:
        complete([{"PartNumber": 9, "ETag": '"' + "0" * 32 + '"'}])
    error = response["Error"]
    assert error["Message"] == DOCUMENTED["InvalidPart"][1]
    assert (error["UploadId"], error["PartNumber"], error["ETag"].strip('"')) == (upload, "9", "0" * 32)
    with failure("InvalidPartOrder", 400) as response:
        complete(parts[::-1])
    assert response["Error"]["Message"] == DOCUMENTED["InvalidPartOrder"][1]


def test_conditions_are_named(server: Server, bucket: str, s3: S3Client) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"1")
    with failure("PreconditionFailed", 412) as response:
        s3.put_object(Bucket=bucket, Key="k", Body=b"2", IfNoneMatch="*")
    assert response["Error"]["Condition"] == "If-None-Match"
    assert response["Error"]["Message"] == "At least one of the pre-conditions you specified did not hold"
    with failure("NotImplemented", 501) as response:
        s3.put_object(Bucket=bucket, Key="k", Body=b"2", IfNoneMatch="etag")
    error = response["Error"]
    assert error["Message"] == "A header you provided implies functionality that is not implemented"
    assert error["Header"] == "If-None-Match"
    assert error["additionalMessage"] == "We don't accept the provided value of If-None-Match header for this API"
    with failure("InvalidRange", 416) as response:
        s3.get_object(Bucket=bucket, Key="k", Range="bytes=9-")
    error = response["Error"]
    assert (error["RangeRequested"], error["ActualObjectSize"]) == ("bytes=9-", "1")


def test_methods_that_a_resource_does_not_have(server: Server, bucket: str) -> None:
    wire = Wire(server.url)
    answer = wire.send("POST", "/")
    assert answer.status == 405
    assert answer.headers["allow"] == "GET"
    assert (answer.error["Method"], answer.error["ResourceType"]) == ("POST", "SERVICE")
    answer = wire.send("PUT", "/photos/k?uploadId=u", b"x")
    assert (answer.status, answer.headers["allow"]) == (405, "DELETE, GET, POST")
    assert (answer.error["Method"], answer.error["ResourceType"]) == ("PUT", "UPLOAD")


def test_arguments_are_named_with_their_value(server: Server, bucket: str) -> None:
    wire = Wire(server.url)
    for target, name, value, message in (
        (
            "?partNumber=0&uploadId=u",
            "partNumber",
            "0",
            "Part number must be an integer between 1 and 10000, inclusive",
        ),
        (
            "?partNumber=x&uploadId=u",
            "partNumber",
            "x",
            "Part number must be an integer between 1 and 10000, inclusive",
        ),
    ):
        status, error = _answer(wire, "PUT", f"/photos/k{target}", b"x")
        assert status == 400
        assert error == {"Code": "InvalidArgument", "Message": message, "ArgumentName": name, "ArgumentValue": value}
    for header, value, message in (
        ("x-amz-copy-source", "photos", "Invalid copy source object key"),
        ("x-amz-copy-source", "%ff/k", "Invalid copy source encoding"),
        ("x-amz-grant-full-control", "alice", "Argument format not recognized"),
    ):
        status, error = _answer(wire, "PUT", "/photos/k", b"", {header: value})
        assert error == {"Code": "InvalidArgument", "Message": message, "ArgumentName": header, "ArgumentValue": value}


def test_two_operations_at_once(server: Server, bucket: str) -> None:
    _, error = _answer(Wire(server.url), "GET", "/photos?policy&acl")
    assert error == {
        "Code": "InvalidArgument",
        "Message": "Conflicting query string parameters: acl, policy",
        "ArgumentName": "ResourceType",
        "ArgumentValue": "acl",
    }


def test_messages_of_delete_objects_are_those_of_s3(server: Server, bucket: str, s3: S3Client) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"1")
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "k", "ETag": '"other"'}]})
    found: Any = answer["Errors"][0]
    assert (found["Code"], found["Message"]) == ("PreconditionFailed", DOCUMENTED["PreconditionFailed"][1])


# -- signatures


def _signed(server: Server) -> tuple[Wire, str]:
    wire = Wire(server.url)
    return wire, wire.sign("GET", "/photos", {}, UNSIGNED)["Authorization"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("/s3/", "/sts/", 'incorrect service "sts". This endpoint belongs to "s3".'),
        ("aws4_request", "aws5_request", 'incorrect terminal "aws5_request". This endpoint uses "aws4_request".'),
        ("=alice/", "=/", "a non-empty Access Key (AKID) must be provided in the credential."),
        (
            "/us-east-1/s3/aws4_request",
            "",
            'the Credential is mal-formed; expecting "<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request".',
        ),
    ],
)
def test_malformed_credentials(server: Server, old: str, new: str, message: str) -> None:
    wire, authorization = _signed(server)
    assert old in authorization
    answer = wire.send("GET", "/photos", headers={"Authorization": authorization.replace(old, new)}, signed=False)
    assert (answer.status, answer.code) == (400, "AuthorizationHeaderMalformed")
    assert answer.error["Message"] == f"The authorization header is malformed; {message}"


def test_a_signature_that_does_not_match_shows_what_was_computed(server: Server, bucket: str) -> None:
    wire = Wire(server.url, secret_key="wrong")
    answer = wire.send("GET", "/photos")
    assert (answer.status, answer.error["Message"]) == DOCUMENTED["SignatureDoesNotMatch"]
    error = answer.error
    assert (error["AWSAccessKeyId"], len(error["SignatureProvided"])) == ("alice", 64)
    for name in ("StringToSign", "CanonicalRequest"):
        assert bytes.fromhex(error[f"{name}Bytes"]).decode() == error[name]
    assert Wire(server.url, access_key="nobody").send("GET", "/photos").error["AWSAccessKeyId"] == "nobody"


def test_times_that_are_refused_are_shown(server: Server, bucket: str) -> None:
    wire, now = Wire(server.url), int(time.time())
    answer = wire.send("GET", "/photos", at=now - 3600)
    assert (answer.status, answer.error["Message"]) == DOCUMENTED["RequestTimeTooSkewed"]
    assert answer.error["MaxAllowedSkewMilliseconds"] == "900000"
    assert answer.error["RequestTime"] == time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now - 3600))
    assert answer.error["ServerTime"].endswith("Z")
    for start, message in ((now - 3600, "Request has expired"), (now + 3600, "Request is not yet valid")):
        target = presign(
            "GET", wire.host, "/photos/k", access_key="alice", secret_key="alice-secret", now=start, expires=60
        )
        answer = wire.send("GET", target, signed=False)
        assert (answer.status, answer.code, answer.error["Message"]) == (403, "AccessDenied", message)
        assert answer.error["Expires"] == time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(start + 60))
        assert answer.error["ServerTime"].endswith("Z")


def test_headers_that_are_not_signed_are_named(server: Server, bucket: str) -> None:
    wire = Wire(server.url)
    headers = wire.sign("GET", "/photos", {}, UNSIGNED) | {"x-amz-expected-bucket-owner": "alice-id"}
    answer = wire.send("GET", "/photos", headers=headers, signed=False)
    assert (answer.status, answer.code) == (403, "AccessDenied")
    assert answer.error["Message"] == "There were headers present in the request which were not signed"
    assert answer.error["HeadersNotSigned"] == "x-amz-expected-bucket-owner"


@pytest.mark.parametrize(
    ("parameter", "value", "message"),
    [
        ("X-Amz-Expires", "x", "X-Amz-Expires should be a number"),
        ("X-Amz-Expires", "-1", "X-Amz-Expires must be non-negative"),
        (
            "X-Amz-Expires",
            "604801",
            "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than "
            "604800 seconds",
        ),
        ("X-Amz-Date", "today", "X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\""),
        (
            "X-Amz-Credential",
            "alice%2F20200101%2Fus-east-1%2Fsts%2Faws4_request",
            'Error parsing the X-Amz-Credential parameter; incorrect service "sts". This endpoint belongs to "s3".',
        ),
    ],
)
def test_parameters_of_presigned_urls(server: Server, parameter: str, value: str, message: str) -> None:
    wire = Wire(server.url)
    target = presign("GET", wire.host, "/photos/k", access_key="alice", secret_key="alice-secret", now=int(time.time()))
    path, _, query = target.partition("?")
    pairs = [item if item.partition("=")[0] != parameter else f"{parameter}={value}" for item in query.split("&")]
    answer = wire.send("GET", f"{path}?{'&'.join(pairs)}", signed=False)
    assert (answer.status, answer.code, answer.error["Message"]) == (400, "AuthorizationQueryParametersError", message)

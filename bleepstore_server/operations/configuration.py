"""Reads of a bucket's configuration: nothing is configured here, and S3 has a proper way to say so for each."""

from __future__ import annotations

from collections.abc import Callable

from bleepstore_server.operations.call import Call
from bleepstore_server.response import Response, xml
from bleepstore_server.wire import xml_render
from bleepstore_server.wire.errors import RequestError

Operation = Callable[[Call], Response]


def absent(code: str, message: str) -> Operation:
    """An operation that answers 404 with `code` for a bucket that exists."""

    def operation(call: Call) -> Response:
        call.check_access()
        raise RequestError(code, message, status=404, fields={"BucketName": call.bucket})

    return operation


def constant(root: str, content: str = "") -> Operation:
    """An operation that answers with always the same document for a bucket that exists."""

    def operation(call: Call) -> Response:
        call.check_access()
        return xml(xml_render.document(root, content))

    return operation


def get_bucket_encryption(call: Call) -> Response:
    """ "By default, all buckets have a default encryption configuration that uses server-side encryption with Amazon S3
    managed keys (SSE-S3)." """
    if call.encryption is None:
        return _NO_ENCRYPTION(call)
    call.check_access()
    default = (
        f"<ApplyServerSideEncryptionByDefault><SSEAlgorithm>{call.encryption}</SSEAlgorithm>"
        "</ApplyServerSideEncryptionByDefault><BucketKeyEnabled>false</BucketKeyEnabled>"
    )
    return xml(xml_render.document("ServerSideEncryptionConfiguration", f"<Rule>{default}</Rule>"))


_NO_ENCRYPTION = absent(
    "ServerSideEncryptionConfigurationNotFoundError", "The server side encryption configuration was not found"
)


def none_of(root: str) -> Operation:
    """An operation on configurations with ids: an empty list of them, or 404 for the one with a given id."""

    def operation(call: Call) -> Response:
        call.check_access()
        if "id" in call.request.query:
            raise RequestError("NoSuchConfiguration", "The specified configuration does not exist.", status=404)
        return xml(xml_render.document(root, "<IsTruncated>false</IsTruncated>"))

    return operation


def nothing_to_delete(call: Call) -> Response:
    """S3 answers 204 whether or not there was a configuration; here there never is one."""
    call.check_access()
    return Response(204)


def get_object_tagging(call: Call) -> Response:
    """No object has tags."""
    call.check_access()
    return xml(xml_render.document("Tagging", "<TagSet></TagSet>"))


def absent_of_object(code: str, message: str) -> Operation:
    """An operation that answers with `code` for an object that exists."""

    def operation(call: Call) -> Response:
        call.check_access()
        raise RequestError(code, message, fields={"BucketName": call.bucket, "Key": call.key})

    return operation

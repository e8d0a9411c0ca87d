"""Every declared document agrees with botocore's model, and is written and read from its declaration alone."""

from __future__ import annotations

import importlib
import pkgutil
import xml.etree.ElementTree as ET
from collections.abc import Callable
from typing import Any

import botocore.session
import pytest
from botocore.model import ListShape, Shape, StructureShape

from bleepstore.model import Owner, Restoration
from bleepstore.pages import ListedObject, ListedVersion
from bleepstore_server.wire import documents
from bleepstore_server.wire.documents import declare
from bleepstore_server.wire.documents import listings as ls
from bleepstore_server.wire.documents.acl import AccessControlPolicy
from bleepstore_server.wire.documents.buckets import (
    CreateBucketConfiguration,
    ListAllMyBucketsResult,
    LocationConstraint,
)
from bleepstore_server.wire.documents.common import account
from bleepstore_server.wire.documents.configuration import (
    PolicyStatus,
    VersioningConfiguration,
)
from bleepstore_server.wire.documents.cors import CorsConfiguration
from bleepstore_server.wire.documents.declare import (
    BOOLEAN,
    INTEGER,
    NUMBER,
    PRECISE_TIME,
    TIME,
    Child,
    DocumentField,
    Repeated,
    Scalar,
    TextKind,
    document,
    element,
    elements,
    parse,
    render,
    wrapped,
)
from bleepstore_server.wire.documents.encryption import (
    BUCKET_KEY_ENABLED,
    ObjectEncryption,
    ServerSideEncryptionConfiguration,
)
from bleepstore_server.wire.documents.errors import Error
from bleepstore_server.wire.documents.lifecycle import LifecycleConfiguration
from bleepstore_server.wire.documents.object_lock import (
    LegalHoldDocument,
    ObjectLockConfiguration,
    RetentionDocument,
)
from bleepstore_server.wire.documents.objects import (
    CopyObjectResult,
    Delete,
    DeleteResult,
    GetObjectAttributesResponse,
    PostResponse,
    RestoreRequest,
)
from bleepstore_server.wire.documents.ownership import (
    OwnershipControlsDocument,
    PublicAccessBlockConfiguration,
    RequestPaymentConfiguration,
)
from bleepstore_server.wire.documents.tagging import Tagging
from bleepstore_server.wire.documents.text import encoder, escape
from bleepstore_server.wire.documents.uploads import (
    CompleteMultipartUpload,
    CompleteMultipartUploadResult,
    CopyPartResult,
    InitiateMultipartUploadResult,
    ListMultipartUploadsResult,
    ListPartsResult,
)
from bleepstore_server.wire.errors import RequestError

SERVICE = botocore.session.get_session().get_service_model("s3")

#: Document -> the operation that has it, in its input or its output.
DOCUMENTS: dict[type, tuple[str, str]] = {
    AccessControlPolicy: ("PutObjectAcl", "input"),
    CompleteMultipartUpload: ("CompleteMultipartUpload", "input"),
    CompleteMultipartUploadResult: ("CompleteMultipartUpload", "output"),
    CopyObjectResult: ("CopyObject", "output"),
    CopyPartResult: ("UploadPartCopy", "output"),
    CorsConfiguration: ("PutBucketCors", "input"),
    CreateBucketConfiguration: ("CreateBucket", "input"),
    Delete: ("DeleteObjects", "input"),
    DeleteResult: ("DeleteObjects", "output"),
    GetObjectAttributesResponse: ("GetObjectAttributes", "output"),
    InitiateMultipartUploadResult: ("CreateMultipartUpload", "output"),
    LifecycleConfiguration: ("PutBucketLifecycleConfiguration", "input"),
    ListAllMyBucketsResult: ("ListBuckets", "output"),
    ListMultipartUploadsResult: ("ListMultipartUploads", "output"),
    ListPartsResult: ("ListParts", "output"),
    LegalHoldDocument: ("PutObjectLegalHold", "input"),
    ObjectLockConfiguration: ("PutObjectLockConfiguration", "input"),
    RetentionDocument: ("PutObjectRetention", "input"),
    OwnershipControlsDocument: ("PutBucketOwnershipControls", "input"),
    PolicyStatus: ("GetBucketPolicyStatus", "output"),
    PublicAccessBlockConfiguration: ("PutPublicAccessBlock", "input"),
    RequestPaymentConfiguration: ("GetBucketRequestPayment", "output"),
    ObjectEncryption: ("UpdateObjectEncryption", "input"),
    ServerSideEncryptionConfiguration: ("GetBucketEncryption", "output"),
    RestoreRequest: ("RestoreObject", "input"),
    Tagging: ("PutObjectTagging", "input"),
    VersioningConfiguration: ("PutBucketVersioning", "input"),
    ls.ListBucketResult: ("ListObjects", "output"),
    ls.ListBucketResultV2: ("ListObjectsV2", "output"),
    ls.ListVersionsResult: ("ListObjectVersions", "output"),
}
#: botocore's model has no shape for these.
NOT_IN_THE_MODEL = {Error, LocationConstraint, PostResponse}
TYPES = {"boolean": BOOLEAN, "integer": NUMBER, "long": NUMBER, "timestamp": TIME}


def all_documents() -> list[type]:
    modules = [
        importlib.import_module(f"{documents.__name__}.{m.name}") for m in pkgutil.iter_modules(documents.__path__)
    ]
    classes = {cls for module in modules for cls in vars(module).values() if isinstance(cls, type)}
    return sorted(
        (cls for cls in classes & declare.declared() if declare.declaration_of(cls).root), key=lambda cls: cls.__name__
    )


def test_every_document_is_compared_with_the_model() -> None:
    assert set(all_documents()) == set(DOCUMENTS) | NOT_IN_THE_MODEL


def shape_of(operation: str, side: str) -> StructureShape:
    model = SERVICE.operation_model(operation)
    shape = model.input_shape if side == "input" else model.output_shape
    assert isinstance(shape, StructureShape)
    payload = shape.serialization.get("payload")
    found = shape.members[payload] if payload else shape
    assert isinstance(found, StructureShape)
    return found


@pytest.mark.parametrize("cls", DOCUMENTS, ids=lambda cls: cls.__name__)
def test_a_document_agrees_with_the_model(cls: type) -> None:
    shape = shape_of(*DOCUMENTS[cls])
    root = shape.serialization.get("name", shape.name)
    assert DOCUMENTS[cls][1] == "output" or root == declare.declaration_of(cls).root
    assert differences(cls, shape) == []


def differences(cls: type, shape: StructureShape) -> list[str]:
    """What the model says otherwise of the elements of a class."""
    by_element = {
        member.serialization.get("name", name): member
        for name, member in shape.members.items()
        if member.serialization.get("location") is None
    }
    # The name of a flattened list is that of its items.
    for name, found_shape in shape.members.items():
        if isinstance(found_shape, ListShape) and found_shape.serialization.get("flattened"):
            outer = found_shape.serialization.get("name", name)
            by_element[found_shape.member.serialization.get("name", outer)] = found_shape
    found = []
    for _field, member in declare.declaration_of(cls).members:
        for name in member.names():
            if name in by_element:
                found += differences_of_member(cls, name, member, by_element[name])
            else:
                found.append(f"{cls.__name__} has no element {name}")
    return found


def differences_of_member(cls: type, name: str, member: DocumentField, shape: Shape) -> list[str]:
    where = f"{cls.__name__}.{name}"
    if isinstance(member, Repeated):
        if not isinstance(shape, ListShape):
            return [f"{where} is no list"]
        if bool(shape.serialization.get("flattened")) != (member.wrapper is None):
            return [f"{where}: flattened or not"]
        if member.wrapper is not None and shape.member.serialization.get("name", "member") != member.name:
            return [f"{where}: the items are called otherwise than {member.name}"]
        item = member.item
        if isinstance(item, TextKind):
            return [] if not isinstance(shape.member, StructureShape) else [f"{where}: items with children"]
        return differences(item, shape.member) if isinstance(shape.member, StructureShape) else [f"{where}: texts"]
    if isinstance(shape, ListShape):
        return [f"{where} is a list"]
    if isinstance(member, Child):
        return differences(member.cls, shape) if isinstance(shape, StructureShape) else [f"{where} is a text"]
    if isinstance(shape, StructureShape):
        return [f"{where} has children"]
    if isinstance(member, Scalar):
        wanted = TYPES.get(shape.type_name)
        kinds = {id(kind) for kind in TYPES.values()}
        kind = {INTEGER: NUMBER, PRECISE_TIME: TIME, BUCKET_KEY_ENABLED: BOOLEAN}.get(member.kind, member.kind)
        if (id(kind) in kinds or wanted is not None) and kind is not wanted:
            return [f"{where} is a {shape.type_name}, not {member.kind.noun}"]
    return []


# -- the fast path of listings


def row(key: str, algorithm: str | None) -> ListedObject:
    kind = "COMPOSITE" if algorithm else None
    return ListedObject(key, 1_700_000_000_007, "0" * 32, 5, "STANDARD", "alice", algorithm, kind)


ROWS = [row("a<b>&", "CRC32"), row("c\x01", None), row("ü", "SHA256")]


def listed_version(one: ListedObject, *, is_delete_marker: bool) -> ListedVersion:
    return ListedVersion(one.key, "null", True, is_delete_marker, *one[1:])


@pytest.mark.parametrize("with_owners", [False, True])
def test_rows_are_written_as_they_are_declared(with_owners: bool) -> None:
    def names(owner_id: str) -> str:
        return f"<{owner_id}>"

    def fields(one: ListedObject, status: ls.RestoreStatus | None = None) -> dict[str, Any]:
        return {
            "key": escape(one.key),
            "modified_ms": one.modified_ms,
            "etag": one.etag,
            "checksum_algorithm": [one.checksum_algorithm] if one.checksum_algorithm else [],
            "checksum_type": one.checksum_type,
            "size": one.size,
            "owner": account(Owner(one.owner_id, names(one.owner_id))) if with_owners else None,
            "storage_class": one.storage_class,
            "restore_status": status,
        }

    def written(name: str, cls: type, values: list[Any]) -> str:
        return "".join(declare.declaration_of(cls).write(name, value) for value in values)

    def written_at_once(write: Callable[..., declare.Markup], rows: list[Any], *more: Any) -> str:
        return "".join(write(rows, encoder(None), *more).pieces)

    shown = names if with_owners else None
    contents = [ls.Contents(**fields(one)) for one in ROWS]
    assert written_at_once(ls.contents, ROWS, shown) == written("Contents", ls.Contents, contents)
    versions = [ls.Version(version_id="null", is_latest=True, **fields(one)) for one in ROWS]
    listed = [listed_version(one, is_delete_marker=False) for one in ROWS]
    assert written_at_once(ls.versions, listed, shown) == written("Version", ls.Version, versions)
    for ready_ms, status in (
        (5, ls.RestoreStatus(is_in_progress=True)),
        (4, ls.RestoreStatus(is_in_progress=False, until_ms=9)),
    ):
        statuses = [ls.restore_status(Restoration(ready_ms, 9), 4)] * len(ROWS)
        contents = [ls.Contents(**fields(one, status)) for one in ROWS]
        assert written_at_once(ls.contents, ROWS, shown, statuses) == written("Contents", ls.Contents, contents)
        versions = [ls.Version(version_id="null", is_latest=True, **fields(one, status)) for one in ROWS]
        assert written_at_once(ls.versions, listed, shown, statuses) == written("Version", ls.Version, versions)
    names_of_marker = ("key", "modified_ms", "owner")
    markers = [
        ls.DeleteMarker(version_id="null", is_latest=True, **{name: fields(one)[name] for name in names_of_marker})
        for one in ROWS
    ]
    listed = [listed_version(one, is_delete_marker=True) for one in ROWS]
    assert written_at_once(ls.versions, listed, shown) == written("DeleteMarker", ls.DeleteMarker, markers)
    prefixes = [ls.CommonPrefix(prefix=escape(one.key)) for one in ROWS]
    keys = [one.key for one in ROWS]
    shown_prefixes = "".join(ls.common_prefixes(keys, encoder(None)).pieces)
    assert shown_prefixes == written("CommonPrefixes", ls.CommonPrefix, prefixes)
    assert written_at_once(ls.contents, [], shown) == ""


# -- a declaration is enough


@document()
class Day:
    name: str = element("Name")
    hours: int | None = element("Hours", NUMBER, default=None)


@document("Week", refuses={"Moon": "There is no moon here."})
class Week:
    begins_ms: int = element("Begins", TIME)
    even: bool = element("Even", BOOLEAN, default=False)
    days: tuple[Day, ...] = elements("Day", Day, at_least=1, at_most=7)
    notes: tuple[str, ...] | None = wrapped("Notes", "Note", declare.TEXT, default=None)


def test_what_is_written_is_read_again() -> None:
    week = Week(begins_ms=86_400_000, days=(Day(name="<Mo>", hours=8), Day(name=" Tu ")), notes=("a", ""))
    assert parse(Week, render(week)) == week
    assert ET.fromstring(render(week)).tag == f"{{{declare.NAMESPACE}}}Week"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("", "MalformedXML"),
        ("<Begins>1970-01-02T00:00:00Z</Begins>", "MalformedXML"),
        ("<Begins/><Day><Name>Mo</Name></Day>", "MalformedXML"),
        ("<Begins>soon</Begins><Day><Name>Mo</Name></Day>", "MalformedXML"),
        ("<Begins>1970-01-02T00:00:00Z</Begins><Day><Name>M<b/>o</Name></Day>", "MalformedXML"),
        ("<Begins>1970-01-02T00:00:00Z</Begins><Day/>", "MalformedXML"),
        ("<Begins>1970-01-02T00:00:00Z</Begins><Day><Name>Mo</Name><Hours>x</Hours></Day>", "MalformedXML"),
        ("<Begins>1970-01-02T00:00:00Z</Begins>" + "<Day><Name>Mo</Name></Day>" * 8, "MalformedXML"),
        ("<Begins>1970-01-02T00:00:00Z</Begins><Day><Name>Mo</Name></Day><Moon/>", "NotImplemented"),
    ],
    ids=range(9),
)
def test_what_the_declaration_does_not_allow_is_refused(content: str, code: str) -> None:
    with pytest.raises(RequestError) as refused:
        parse(Week, f"<Week>{content}</Week>".encode())
    assert refused.value.code == code


def test_elements_are_read_in_any_order_and_namespace_and_the_first_counts() -> None:
    body = (
        '<w:Week xmlns:w="urn:w"><Other>1</Other><Day xmlns=""><Hours> 8 </Hours><Name>Mo</Name><Name>Tu</Name></Day>'
        "<!-- a comment --><Even>TRUE</Even><Begins>1970-01-02T00:00:00.000Z</Begins><Even>false</Even></w:Week>"
    )
    assert parse(Week, body.encode()) == Week(begins_ms=86_400_000, even=True, days=(Day(name="Mo", hours=8),))

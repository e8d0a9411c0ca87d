"""The XML documents that clients send. defusedxml refuses entities and DTDs; everything else wrong is MalformedXML."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from xml.etree.ElementTree import Element, ParseError

import defusedxml
from defusedxml.ElementTree import fromstring

from bleepstore.commands import DeleteEntry
from bleepstore.digests import Algorithm
from bleepstore.errors import MalformedACL
from bleepstore.model import Acl, Checksum, CompletedPart, Grant, Group, Permission, WriteCondition
from bleepstore_server.wire.errors import RequestError
from bleepstore_server.wire.xml_render import GROUP_URIS

_GROUPS = {uri: group for group, uri in GROUP_URIS.items()}
_XSI_TYPE = "{http://www.w3.org/2001/XMLSchema-instance}type"
MAX_DELETES = 1000
MAX_PARTS = 10_000
MAX_GRANTS = 100

FindByEmail = Callable[[str], str]  # e-mail -> owner id; raises if unknown
CheckId = Callable[[str], None]  # raises if the owner id is unknown


def _local(element: Element) -> str:
    return element.tag.rpartition("}")[2]


def parse(body: bytes, root: str) -> Element:
    """The root element, which must have this name in any namespace."""
    try:
        found: Element = fromstring(body, forbid_dtd=True)
    except (ParseError, defusedxml.DefusedXmlException, ValueError, LookupError):
        raise RequestError("MalformedXML") from None
    if _local(found) != root:
        raise RequestError("MalformedXML", f"The document must be a {root}.")
    return found


def _children(element: Element, name: str) -> Iterator[Element]:
    return (child for child in element if _local(child) == name)


def _child(element: Element, name: str) -> Element | None:
    return next(_children(element, name), None)


def _text(element: Element, name: str) -> str | None:
    child = _child(element, name)
    return None if child is None else (child.text or "")


def _required(element: Element, name: str) -> str:
    text = _text(element, name)
    if not text:
        raise RequestError("MalformedXML", f"The element {_local(element)} lacks {name}.")
    return text


def location_constraint(body: bytes) -> str:
    """The LocationConstraint of a CreateBucketConfiguration, "" if there is none."""
    if not body.strip():
        return ""
    root = parse(body, "CreateBucketConfiguration")
    for name in ("Tags", "Bucket", "Location"):
        if _child(root, name) is not None:
            raise RequestError("NotImplemented", f"This store has no {name} in a CreateBucketConfiguration.")
    return (_text(root, "LocationConstraint") or "").strip()


def delete(body: bytes) -> tuple[list[DeleteEntry], bool]:
    """(entries, quiet) of a Delete."""
    root = parse(body, "Delete")
    entries = []
    for child in _children(root, "Object"):
        etag = _text(child, "ETag")
        if _text(child, "LastModifiedTime") is not None or _text(child, "Size") is not None:
            raise RequestError("NotImplemented", "LastModifiedTime and Size are for directory buckets only.")
        condition = WriteCondition(if_match=etag.strip('"')) if etag is not None else WriteCondition()
        entries.append(
            DeleteEntry(key=_required(child, "Key"), version_id=_text(child, "VersionId") or None, condition=condition)
        )
    if not entries or len(entries) > MAX_DELETES:
        raise RequestError("MalformedXML", f"A Delete names 1 to {MAX_DELETES} objects.")
    return entries, (_text(root, "Quiet") or "").strip().lower() == "true"


def complete(body: bytes) -> list[CompletedPart]:
    """The parts of a CompleteMultipartUpload."""
    parts = []
    for child in _children(parse(body, "CompleteMultipartUpload"), "Part"):
        number = _required(child, "PartNumber").strip()
        if not (number.isascii() and number.isdigit()) or len(number) > 9:
            raise RequestError("MalformedXML", "PartNumber is not a number.")
        checksum = None
        for algorithm in Algorithm:
            value = _text(child, f"Checksum{algorithm.value}")
            if value:
                checksum = Checksum(algorithm, value.strip())
        parts.append(CompletedPart(number=int(number), etag=_required(child, "ETag").strip(), checksum=checksum))
    if not parts or len(parts) > MAX_PARTS:
        raise RequestError("MalformedXML", f"A CompleteMultipartUpload names 1 to {MAX_PARTS} parts.")
    return parts


def access_control_policy(body: bytes, find_by_email: FindByEmail, check_id: CheckId) -> Acl:
    """An AccessControlPolicy with every grantee known to this store."""
    try:
        root = parse(body, "AccessControlPolicy")
    except RequestError:
        raise MalformedACL("The body is not an AccessControlPolicy document.") from None
    owner = _child(root, "Owner")
    grants = _child(root, "AccessControlList")
    owner_id = None if owner is None else _text(owner, "ID")
    if not owner_id or grants is None:
        raise MalformedACL("An AccessControlPolicy needs an Owner with an ID and an AccessControlList.")
    found = tuple(_grant(child, find_by_email, check_id) for child in _children(grants, "Grant"))
    if len(found) > MAX_GRANTS:
        raise MalformedACL(f"An access control list has at most {MAX_GRANTS} grants.")
    return Acl(owner_id, found)


def _grant(element: Element, find_by_email: FindByEmail, check_id: CheckId) -> Grant:
    grantee = _child(element, "Grantee")
    try:
        permission = Permission((_text(element, "Permission") or "").strip())
    except ValueError:
        raise MalformedACL("The permission of a grant is not one of S3's.") from None
    if grantee is None:
        raise MalformedACL("A grant needs a Grantee.")
    kind = (grantee.get(_XSI_TYPE) or "").rpartition(":")[2]
    if uri := _text(grantee, "URI"):
        return Grant(group_of(uri), permission)
    if email := _text(grantee, "EmailAddress"):
        return Grant(find_by_email(email), permission)
    user_id = _text(grantee, "ID")
    if not user_id or kind not in ("", "CanonicalUser"):
        raise MalformedACL("A grantee needs an ID, a URI or an EmailAddress.")
    check_id(user_id)
    return Grant(user_id, permission)


def group_of(uri: str) -> Group:
    group = _GROUPS.get(uri.strip())
    if group is None:
        raise RequestError(
            "InvalidArgument", "Invalid group uri.", fields={"ArgumentName": "uri", "ArgumentValue": uri}
        )
    return group

"""The documents of configurations that are stored as they are given, read and written by their shapes.

A document of the library has the names of Amazon's SDKs; here are those that elements have instead. What is not of its
shape is refused: it could not be shown as it was given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import Element

from bleepstore.configurations import SHAPES, ConfigurationKind
from bleepstore.configurations.shapes import Boolean, Integer, ListOf, Shape, Structure, Text
from bleepstore_server.wire.documents.declare import (
    DECLARATION,
    INTEGER,
    NAMESPACE,
    XSI,
    local_name,
    malformed,
    parse_root,
    text_of,
)
from bleepstore_server.wire.documents.text import escape

ROOTS: Mapping[ConfigurationKind, str] = {
    ConfigurationKind.ABAC: "AbacStatus",
    ConfigurationKind.ACCELERATE: "AccelerateConfiguration",
    ConfigurationKind.LOGGING: "BucketLoggingStatus",
    ConfigurationKind.METADATA: "MetadataConfiguration",
    ConfigurationKind.METADATA_TABLE: "MetadataTableConfiguration",
    ConfigurationKind.NOTIFICATION: "NotificationConfiguration",
    ConfigurationKind.REPLICATION: "ReplicationConfiguration",
    ConfigurationKind.WEBSITE: "WebsiteConfiguration",
    ConfigurationKind.ANALYTICS: "AnalyticsConfiguration",
    ConfigurationKind.INTELLIGENT_TIERING: "IntelligentTieringConfiguration",
    ConfigurationKind.INVENTORY: "InventoryConfiguration",
    ConfigurationKind.METRICS: "MetricsConfiguration",
}
_LISTS: Mapping[ConfigurationKind, str] = {
    ConfigurationKind.ANALYTICS: "ListBucketAnalyticsConfigurationResult",
    ConfigurationKind.INTELLIGENT_TIERING: "ListBucketIntelligentTieringConfigurationsOutput",
    ConfigurationKind.INVENTORY: "ListInventoryConfigurationsResult",
    ConfigurationKind.METRICS: "ListMetricsConfigurationsResult",
}
#: Members whose elements have another name. Those of a list that stands without an element around it are its items.
ELEMENTS: Mapping[str, str] = {
    "Events": "Event",
    "FilterRules": "FilterRule",
    "LambdaFunctionArn": "CloudFunction",
    "LambdaFunctionConfigurations": "CloudFunctionConfiguration",
    "Prefixes": "Prefix",
    "QueueArn": "Queue",
    "QueueConfigurations": "QueueConfiguration",
    "Rules": "Rule",
    "SSEKMS": "SSE-KMS",
    "SSES3": "SSE-S3",
    "Tags": "Tag",
    "Tierings": "Tiering",
    "TopicArn": "Topic",
    "TopicConfigurations": "TopicConfiguration",
}
#: Lists in an element of their own: what their items are called.
ITEMS: Mapping[str, str] = {"OptionalFields": "Field", "RoutingRules": "RoutingRule", "TargetGrants": "Grant"}
#: The element that says what it is by an attribute: xsi:type.
TYPED = "Grantee"


def element_of(member: str, shape: Shape) -> str:
    """The name of a member's element. The Key of a filter is no text, but has rules of its own."""
    return "S3Key" if member == "Key" and isinstance(shape, Structure) else ELEMENTS.get(member, member)


# -- reading


def parse_configuration(kind: ConfigurationKind, body: bytes) -> dict[str, Any]:
    """The document. Raises RequestError: MalformedXML."""
    return read_document(SHAPES[kind], ROOTS[kind], body)


def read_document(shape: Structure, root: str, body: bytes) -> dict[str, Any]:
    """A document of this shape. Raises RequestError: MalformedXML."""
    return _read_structure(shape, parse_root(root, body))


def _read(shape: Shape, found: Element) -> Any:
    if isinstance(shape, Structure):
        return _read_structure(shape, found)
    text = text_of(found)
    if isinstance(shape, Boolean):
        if text.strip() not in ("true", "false"):
            raise malformed(f"{local_name(found)} is true or false.")
        return text.strip() == "true"
    if isinstance(shape, Integer):
        try:
            return INTEGER.read(text)
        except ValueError:
            raise malformed(f"{local_name(found)} is a number.") from None
    return text.strip() if isinstance(shape, Text) and shape.choices else text


def _read_structure(shape: Structure, found: Element) -> dict[str, Any]:
    children: dict[str, list[Element]] = {}
    for one in found:
        children.setdefault(local_name(one), []).append(one)
    document: dict[str, Any] = {}
    if local_name(found) == TYPED:
        document["Type"] = (found.get(f"{{{XSI}}}type") or "").rpartition(":")[2]
    for member, member_shape in shape.members.items():
        elements = children.pop(element_of(member, member_shape), None)
        if elements is None:
            continue
        if isinstance(member_shape, ListOf) and member not in ITEMS:
            document[member] = [_read(member_shape.item, one) for one in elements]
            continue
        if len(elements) > 1:
            raise malformed(f"The element {local_name(found)} has one {local_name(elements[0])}.")
        document[member] = (
            _read_items(member, member_shape, elements[0])
            if isinstance(member_shape, ListOf)
            else _read(member_shape, elements[0])
        )
    if children:
        raise malformed(f"The element {local_name(found)} has no {min(children)}.")
    return document


def _read_items(member: str, shape: ListOf, found: Element) -> list[Any]:
    for one in found:
        if local_name(one) != ITEMS[member]:
            raise malformed(f"The element {local_name(found)} has elements {ITEMS[member]}.")
    return [_read(shape.item, one) for one in found]


# -- writing


def render_configuration(kind: ConfigurationKind, document: Mapping[str, Any]) -> bytes:
    return write_document(SHAPES[kind], ROOTS[kind], document)


def write_document(shape: Structure, root: str, document: Mapping[str, Any]) -> bytes:
    return (DECLARATION + _write(root, shape, document, f' xmlns="{NAMESPACE}"')).encode()


def render_page(
    kind: ConfigurationKind, documents: Sequence[Mapping[str, Any]], token: str | None, next_token: str | None
) -> bytes:
    """A page of all configurations of a kind, the token that asked for it, and that of the next one."""
    parts = [f"<IsTruncated>{'true' if next_token is not None else 'false'}</IsTruncated>"]
    for name, value in (("ContinuationToken", token), ("NextContinuationToken", next_token)):
        if value is not None:
            parts.append(f"<{name}>{escape(value)}</{name}>")
    parts += [_write(ROOTS[kind], SHAPES[kind], document) for document in documents]
    return f'{DECLARATION}<{_LISTS[kind]} xmlns="{NAMESPACE}">{"".join(parts)}</{_LISTS[kind]}>'.encode()


def _write(name: str, shape: Shape, value: Any, more: str = "") -> str:
    if isinstance(shape, Structure):
        if name == TYPED:
            more = f' xmlns:xsi="{XSI}" xsi:type="{value["Type"]}"'
        content = "".join(
            _write_member(member, member_shape, value[member])
            for member, member_shape in shape.members.items()
            if member in value and (name, member) != (TYPED, "Type")
        )
    elif isinstance(shape, Boolean):
        content = "true" if value else "false"
    else:
        content = escape(str(value))
    return f"<{name}{more}>{content}</{name}>"


def _write_member(member: str, shape: Shape, value: Any) -> str:
    name = element_of(member, shape)
    if not isinstance(shape, ListOf):
        return _write(name, shape, value)
    if member in ITEMS:
        return f"<{name}>{''.join([_write(ITEMS[member], shape.item, one) for one in value])}</{name}>"
    return "".join([_write(name, shape.item, one) for one in value])

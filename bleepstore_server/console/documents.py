"""Settings of buckets that are documents: a row for each says how it is read, written and removed.

They are shown and typed in the words of S3, JSON or XML, so that what AWS documents of them holds here, and what the
store refuses is told in AWS's words.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import attrs

from bleepstore.configurations import ConfigurationKind
from bleepstore.store import Store
from bleepstore_server.console.visit import Visit
from bleepstore_server.wire.documents.cors import cors_document, parse_cors
from bleepstore_server.wire.documents.declare import render
from bleepstore_server.wire.documents.lifecycle import lifecycle_of, parse_lifecycle
from bleepstore_server.wire.documents.stored import parse_configuration, render_configuration

_TAG = re.compile(r"<[^>]*>")


@attrs.frozen(kw_only=True)
class Document:
    """`read` raises NotFound where there is none, or gives nothing."""

    name: str
    language: str
    read: Callable[[Visit, str], str]
    write: Callable[[Visit, str, str], object]
    remove: Callable[[Visit, str], None]


def indented(document: bytes) -> str:
    """A document of ours for people: an element in each line, but for those that hold a text."""
    depth, lines, line = 0, list[str](), ""
    text = document.decode().partition("?>")[2]
    at = 0
    for match in _TAG.finditer(text):
        content, tag, at = text[at : match.start()], match[0], match.end()
        if tag.startswith("</"):
            depth -= 1
            if line:
                lines.append(f"{line}{content}{tag}")
            else:
                lines.append("  " * depth + tag)
            line = ""
            continue
        if line:
            lines.append(line)
        line = "  " * depth + tag
        if tag.endswith("/>"):
            lines.append(line)
            line = ""
        else:
            depth += 1
    return "\n".join(lines)


def _stored(kind: ConfigurationKind) -> Document:
    def read(visit: Visit, bucket: str) -> str:
        found = visit.store.get_bucket_configuration(bucket, kind, caller=visit.caller)
        return indented(render_configuration(kind, found)) if found else ""

    def write(visit: Visit, bucket: str, text: str) -> object:
        document = parse_configuration(kind, text.encode())
        return visit.store.put_bucket_configuration(bucket, kind, document, caller=visit.caller)

    def remove(visit: Visit, bucket: str) -> None:
        if kind is ConfigurationKind.NOTIFICATION:  # which has no removal of its own: an empty one is none
            visit.store.put_bucket_configuration(bucket, kind, {}, caller=visit.caller)
        else:
            visit.store.delete_bucket_configuration(bucket, kind, caller=visit.caller)

    return Document(name=kind.value, language="xml", read=read, write=write, remove=remove)


def _of(store_method: Callable[..., None]) -> Callable[[Visit, str], None]:
    return lambda visit, bucket: store_method(visit.store, bucket, caller=visit.caller)


DOCUMENTS = (
    Document(
        name="policy",
        language="json",
        read=lambda visit, bucket: visit.store.get_bucket_policy(bucket, caller=visit.caller),
        write=lambda visit, bucket, text: visit.store.put_bucket_policy(bucket, text, caller=visit.caller),
        remove=_of(Store.delete_bucket_policy),
    ),
    Document(
        name="lifecycle",
        language="xml",
        read=lambda visit, bucket: indented(
            render(lifecycle_of(visit.store.get_bucket_lifecycle(bucket, caller=visit.caller)))
        ),
        write=lambda visit, bucket, text: visit.store.put_bucket_lifecycle(
            bucket, parse_lifecycle(text.encode()), caller=visit.caller
        ),
        remove=_of(Store.delete_bucket_lifecycle),
    ),
    Document(
        name="cors",
        language="xml",
        read=lambda visit, bucket: indented(
            render(cors_document(visit.store.get_bucket_cors(bucket, caller=visit.caller)))
        ),
        write=lambda visit, bucket, text: visit.store.put_bucket_cors(
            bucket, parse_cors(text.encode()), caller=visit.caller
        ),
        remove=_of(Store.delete_bucket_cors),
    ),
    _stored(ConfigurationKind.NOTIFICATION),
    _stored(ConfigurationKind.WEBSITE),
)
BY_NAME = {document.name: document for document in DOCUMENTS}

"""Listings of objects."""

from __future__ import annotations

from collections.abc import Iterable

from bleepstore.model import MAX_PAGE
from bleepstore.pages import ObjectPage, VersionPage
from bleepstore_server.exchange import Exchange
from bleepstore_server.response import Response, xml
from bleepstore_server.wire.documents.listings import (
    NO_STATUSES,
    ListBucketResult,
    ListBucketResultV2,
    common_prefixes,
    contents,
    restore_status,
)
from bleepstore_server.wire.documents.text import encoder, restore
from bleepstore_server.wire.errors import RequestError
from bleepstore_server.wire.headers import number
from bleepstore_server.wire.tokens import decode_token, encode_token


def encoding_type(exchange: Exchange) -> str | None:
    value = exchange.request.query.get("encoding-type") or None
    if value not in (None, "url"):
        raise RequestError(
            "InvalidArgument",
            "Invalid Encoding Method specified in Request",
            fields={"ArgumentName": "encoding-type", "ArgumentValue": str(value)},
        )
    return value


def marker_of(exchange: Exchange, name: str) -> str | None:
    """A key or common prefix in a parameter that says where a page begins: mostly one that the client has read on an
    earlier page, which without encoding-type=url was written as XML can hold it."""
    text = exchange.request.query.get(name)
    return text if text is None or encoding_type(exchange) == "url" else restore(text)


def restore_statuses(exchange: Exchange, page: ObjectPage | VersionPage) -> Iterable[str]:
    """What the rows of a page say of their restoration, if the request asks for it."""
    asked = exchange.request.headers.get("x-amz-optional-object-attributes")
    if asked is None:
        return NO_STATUSES
    if any(name.strip() != "RestoreStatus" for name in asked.split(",")):
        raise RequestError(
            "InvalidArgument",
            "Invalid attribute name specified",
            fields={"ArgumentName": "x-amz-optional-object-attributes", "ArgumentValue": asked},
        )
    now_ms = exchange.store.engine.clock()
    rows = page.objects if isinstance(page, ObjectPage) else page.versions
    return [restore_status(one, now_ms) for one in exchange.store.restorations_of(exchange.bucket, rows)]


def _page(exchange: Exchange, after: str, limit: int, start_after: str = "") -> ObjectPage:
    query = exchange.request.query
    return exchange.store.list_objects(
        exchange.bucket,
        prefix=query.get("prefix", ""),
        delimiter=query.get("delimiter", ""),
        after=after,
        start_after=start_after,
        limit=limit,
        caller=exchange.caller,
    )


def _answer(exchange: Exchange, page: object) -> Response:
    """A page with the region of its bucket, which S3 sends here as with HeadBucket."""
    response = xml(page)
    response.headers.extend(exchange.region_headers())
    return response


def list_objects(exchange: Exchange) -> Response:
    query = exchange.request.query
    limit = number(query.get("max-keys"), "max-keys", MAX_PAGE, MAX_PAGE)
    encoding = encoding_type(exchange)
    marker = marker_of(exchange, "marker") or ""
    page = _page(exchange, marker, limit)
    encode, delimiter = encoder(encoding), query.get("delimiter", "")
    return _answer(
        exchange,
        ListBucketResult(
            name=exchange.bucket,
            prefix=encode(query.get("prefix", "")),
            marker=encode(marker),
            # "This element is returned only if you have the delimiter request parameter specified": else the last key
            # serves.
            next_marker=encode(page.next_key) if page.next_key is not None and delimiter else None,
            max_keys=limit,
            delimiter=encode(delimiter) if delimiter else None,
            encoding_type=encoding,
            is_truncated=page.next_key is not None,
            contents=contents(page.rows, encode, exchange.store.display_name, restore_statuses(exchange, page)),
            common_prefixes=common_prefixes(page.common_prefixes, encode),
        ),
    )


def list_objects_v2(exchange: Exchange) -> Response:
    query = exchange.request.query
    if query["list-type"] != "2":
        return list_objects(exchange)  # as S3 takes any other value (measured for backlot pull request 204)
    limit = number(query.get("max-keys"), "max-keys", MAX_PAGE, MAX_PAGE)
    encoding = encoding_type(exchange)
    token = query.get("continuation-token")
    start_after = marker_of(exchange, "start-after")
    page = _page(exchange, "" if token is None else decode_token(token), limit, start_after or "")
    encode, delimiter = encoder(encoding), query.get("delimiter", "")
    names = exchange.store.display_name if query.get("fetch-owner", "").lower() == "true" else None
    return _answer(
        exchange,
        ListBucketResultV2(
            name=exchange.bucket,
            prefix=encode(query.get("prefix", "")),
            start_after=None if start_after is None else encode(start_after),
            continuation_token=token,
            next_continuation_token=None if page.next_key is None else encode_token(page.next_key),
            key_count=len(page.rows) + len(page.common_prefixes),
            max_keys=limit,
            delimiter=encode(delimiter) if delimiter else None,
            encoding_type=encoding,
            is_truncated=page.next_key is not None,
            contents=contents(page.rows, encode, names, restore_statuses(exchange, page)),
            common_prefixes=common_prefixes(page.common_prefixes, encode),
        ),
    )

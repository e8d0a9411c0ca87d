"""Versioning of buckets, and listings of versions."""

from __future__ import annotations

from bleepstore.model import MAX_PAGE
from bleepstore.names import is_version_id
from bleepstore_server.exchange import Exchange
from bleepstore_server.operations.listings import encoding_type, marker_of, restore_statuses
from bleepstore_server.response import Response, xml
from bleepstore_server.wire.documents.configuration import MfaDelete, VersioningConfiguration
from bleepstore_server.wire.documents.declare import parse
from bleepstore_server.wire.documents.listings import ListVersionsResult, common_prefixes, versions
from bleepstore_server.wire.documents.text import encoder
from bleepstore_server.wire.errors import RequestError
from bleepstore_server.wire.headers import number


def get_bucket_versioning(exchange: Exchange) -> Response:
    """ "If the versioning state has never been set on a bucket, it has no versioning state." """
    status = exchange.store.get_bucket_versioning(exchange.bucket, caller=exchange.caller)
    return xml(VersioningConfiguration(status=status))


def put_bucket_versioning(exchange: Exchange) -> Response:
    asked = parse(VersioningConfiguration, exchange.document())
    if asked.mfa_delete is MfaDelete.ENABLED:
        raise RequestError("NotImplemented", "This store has no MFA Delete.")
    if asked.status is None:
        raise RequestError("IllegalVersioningConfigurationException", "The Versioning element must be specified")
    exchange.store.put_bucket_versioning(exchange.bucket, asked.status, caller=exchange.caller)
    return Response()


def list_object_versions(exchange: Exchange) -> Response:
    query = exchange.request.query
    limit = number(query.get("max-keys"), "max-keys", MAX_PAGE, MAX_PAGE, "max-keys cannot be negative")
    encoding = encoding_type(exchange)
    key_marker = marker_of(exchange, "key-marker") or ""
    version_id_marker = _version_id_marker(exchange, key_marker)
    page = exchange.store.list_object_versions(
        exchange.bucket,
        prefix=query.get("prefix", ""),
        delimiter=query.get("delimiter", ""),
        after_key=key_marker,
        after_version_id=version_id_marker,
        limit=limit,
        caller=exchange.caller,
    )
    encode, delimiter = encoder(encoding), query.get("delimiter", "")
    return xml(
        ListVersionsResult(
            name=exchange.bucket,
            prefix=encode(query.get("prefix", "")),
            key_marker=encode(key_marker),
            version_id_marker=version_id_marker,
            next_key_marker=None if page.next_key is None else encode(page.next_key),
            next_version_id_marker=page.next_version_id,
            max_keys=limit,
            delimiter=encode(delimiter) if delimiter else None,
            encoding_type=encoding,
            is_truncated=page.next_key is not None,
            versions=versions(page.rows, encode, exchange.store.display_name, restore_statuses(exchange, page)),
            common_prefixes=common_prefixes(page.common_prefixes, encode),
        )
    )


def _version_id_marker(exchange: Exchange, key_marker: str) -> str:
    """Where within the versions of a key a page begins."""
    value = exchange.request.query.get("version-id-marker")
    if value is None:
        return ""
    if value == "":
        message = "A version-id marker cannot be empty."
    elif not key_marker:
        message = "A version-id marker cannot be specified without a key marker."
    elif not is_version_id(value):
        message = "Invalid version id specified"
    else:
        return value
    raise RequestError("InvalidArgument", message, fields={"ArgumentName": "version-id-marker", "ArgumentValue": value})

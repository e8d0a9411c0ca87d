"""Metadata configurations of buckets: which tables S3 is to write of what is in a bucket.

They are stored and shown; no table is written, for S3 has them in a service of its own, S3 Tables. So every table has
the status FAILED ("Amazon S3 is unable to create the metadata table"), with an error that says so.
"""

from __future__ import annotations

from typing import Any

from bleepstore.configurations import METADATA_TABLES, ConfigurationKind
from bleepstore.configurations.shapes import INTEGER, TEXT, structure
from bleepstore_server.exchange import Exchange
from bleepstore_server.operations.stored import Operation
from bleepstore_server.response import Response
from bleepstore_server.wire.documents.stored import parse_configuration, read_document, write_document

_ERROR = {"ErrorCode": "NotImplemented", "ErrorMessage": "This store keeps the configuration and writes no tables."}
_FAILED: dict[str, Any] = {"TableStatus": "FAILED", "Error": _ERROR}
#: Part -> the name of its table ("journal" and "inventory", in the namespace "b_" and the name of the bucket).
_TABLE_NAMES = {
    "JournalTableConfiguration": "journal",
    "InventoryTableConfiguration": "inventory",
    "AnnotationTableConfiguration": "annotation",
}
_ERROR_SHAPE = structure(ErrorCode=TEXT, ErrorMessage=TEXT)
_TABLE_SHAPE = structure(
    ConfigurationState=TEXT,
    TableStatus=TEXT,
    Error=_ERROR_SHAPE,
    TableName=TEXT,
    Role=TEXT,
    RecordExpiration=structure(Expiration=TEXT, Days=INTEGER),
)
_RESULT_SHAPE = structure(
    MetadataConfigurationResult=structure(
        DestinationResult=structure(TableBucketType=TEXT, TableNamespace=TEXT),
        **{f"{name}Result": _TABLE_SHAPE for name in METADATA_TABLES},
    )
)
_TABLE_RESULT_SHAPE = structure(
    MetadataTableConfigurationResult=structure(
        S3TablesDestinationResult=structure(TableBucketArn=TEXT, TableName=TEXT, TableArn=TEXT, TableNamespace=TEXT)
    ),
    Status=TEXT,
    Error=_ERROR_SHAPE,
)


def create(kind: ConfigurationKind) -> Operation:
    def operation(exchange: Exchange) -> Response:
        document = parse_configuration(kind, exchange.document(needs_digest=False))
        exchange.store.put_bucket_configuration(exchange.bucket, kind, document, caller=exchange.caller)
        return Response()

    return operation


def update(table: str) -> Operation:
    def operation(exchange: Exchange) -> Response:
        document = read_document(METADATA_TABLES[table], table, exchange.document(needs_digest=False))
        exchange.store.update_bucket_metadata(exchange.bucket, table, document, caller=exchange.caller)
        return Response()

    return operation


def get_metadata_configuration(exchange: Exchange) -> Response:
    document = exchange.store.get_bucket_configuration(
        exchange.bucket, ConfigurationKind.METADATA, caller=exchange.caller
    )
    result: dict[str, Any] = {"DestinationResult": {"TableBucketType": "aws", "TableNamespace": f"b_{exchange.bucket}"}}
    for name, part in document.items():
        shown = {member: value for member, value in part.items() if member != "EncryptionConfiguration"}
        if part.get("ConfigurationState") != "DISABLED":
            shown |= _FAILED | {"TableName": _TABLE_NAMES[name]}
        result[f"{name}Result"] = shown
    body = write_document(
        _RESULT_SHAPE, "GetBucketMetadataConfigurationResult", {"MetadataConfigurationResult": result}
    )
    return Response(200, [("Content-Type", "application/xml")], body)


def get_metadata_table_configuration(exchange: Exchange) -> Response:
    """The earlier form of it, with one table."""
    destination = exchange.store.get_bucket_configuration(
        exchange.bucket, ConfigurationKind.METADATA_TABLE, caller=exchange.caller
    )["S3TablesDestination"]
    found = destination | {
        "TableArn": f"{destination['TableBucketArn']}/table/{destination['TableName']}",
        "TableNamespace": "aws_s3_metadata",
    }
    document = {
        "MetadataTableConfigurationResult": {"S3TablesDestinationResult": found},
        "Status": "FAILED",
        "Error": _ERROR,
    }
    body = write_document(_TABLE_RESULT_SHAPE, "GetBucketMetadataTableConfigurationResult", document)
    return Response(200, [("Content-Type", "application/xml")], body)

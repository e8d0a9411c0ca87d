"""The description of both ports (OpenAPI 3.1), made of the rows of the admin address and of the table of S3's
operations; and the same as a page for people.

S3 tells many operations apart by a parameter of the query alone, for which OpenAPI has no word: these have the
parameter behind a # in their path, as other descriptions of S3 do.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

import bleepstore
from bleepstore_server.admin.rows import Row, Who
from bleepstore_server.admin.schemas import Schema, Schemas, fields_of
from bleepstore_server.router import ROUTES, Resource, Route

_ERROR: Schema = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "request_id"],
            "properties": {name: {"type": "string"} for name in ("code", "message", "request_id")},
        }
    },
}
_REFUSED = {
    "description": "A refusal, with a code for programs and a sentence that says what to do.",
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
}
_S3_ERROR = {
    "description": "An error of S3.",
    "content": {"application/xml": {"schema": {"$ref": "#/components/schemas/S3Error"}}},
}
#: Operations whose body is that of an object.
_OBJECT_BODIES = frozenset({"PutObject", "UploadPart"})
_OBJECT_ANSWERS = frozenset({"GetObject"})


def describe(rows: Sequence[Row], s3_url: str) -> dict[str, Any]:
    """The document. `s3_url` is that of the S3 port."""
    schemas = Schemas()
    paths: dict[str, dict[str, Any]] = {}
    for row in rows:
        paths.setdefault(row.path, {})[row.method.lower()] = _of_row(row, schemas)
    for route in ROUTES:
        if route.function is not None:
            item = paths.setdefault(path_of(route), {})
            item["servers"] = [{"url": s3_url}]
            item[route.method.lower()] = _of_route(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "BleepStore",
            "version": bleepstore.__version__,
            "description": "An S3-compatible object store. Paths with a # stand for a parameter of the query.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": "server"}, {"name": "administration"}, {"name": "S3"}],
        "paths": paths,
        "components": {
            "schemas": {**schemas.known, "Error": _ERROR, "S3Error": {"type": "object", "xml": {"name": "Error"}}},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "signature": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "Authorization",
                    "description": "AWS Signature Version 4",
                },
            },
        },
    }


def _of_row(row: Row, schemas: Schemas) -> dict[str, Any]:
    parameters = [_parameter(name, "path", {"type": "string"}, required=True) for name in row.names]
    if row.query is not None:
        for field in fields_of(row.query):
            parameters.append(_parameter(field.name, "query", schemas.of(field.type), required=False))
    content = {"application/json": {"schema": schemas.of(row.answer)}} if row.answer is not None else None
    if content is None and row.media_type != "application/json":
        content = {row.media_type: {"schema": {"type": "string"}}}
    success: dict[str, Any] = {"description": "Done."}
    if content is not None:
        success["content"] = content
    found: dict[str, Any] = {
        "operationId": re.sub(r"\W+", "_", f"{row.method.lower()}_{row.path}").strip("_"),
        "summary": row.summary,
        "tags": ["administration" if row.who is Who.ADMIN else "server"],
        "responses": {str(row.status): success, "default": _REFUSED},
    }
    if parameters:
        found["parameters"] = parameters
    if row.body is not None:
        found["requestBody"] = {"content": {"application/json": {"schema": schemas.of(row.body)}}, "required": True}
    if row.who is Who.ADMIN:
        found["security"] = [{"bearer": []}, {"signature": []}]
    return found


def path_of(route: Route) -> str:
    """The path of an operation of S3, as the document has it."""
    parts = [route.sub_resource] if route.sub_resource else []
    if route.copies:
        parts.append("x-amz-copy-source")
    return route.resource.value + (f"#{'&'.join(parts)}" if parts else "")


def _of_route(route: Route) -> dict[str, Any]:
    names = {Resource.SERVICE: (), Resource.BUCKET: ("Bucket",), Resource.OBJECT: ("Bucket", "Key")}[route.resource]
    parameters = [_parameter(name, "path", {"type": "string"}, required=True) for name in names]
    if route.sub_resource:
        parameters.append(_parameter(route.sub_resource, "query", {"type": "string"}, required=True, empty=True))
    if route.copies:
        parameters.append(_parameter("x-amz-copy-source", "header", {"type": "string"}, required=True))
    answer = "application/octet-stream" if route.operation in _OBJECT_ANSWERS else "application/xml"
    success: dict[str, Any] = {"description": "Done."}
    if route.method in ("GET", "POST"):
        success["content"] = {answer: {}}
    found: dict[str, Any] = {
        "operationId": route.operation,
        "summary": "" if route.action is None else f"Asks for {route.action.value}",
        "tags": ["S3"],
        "externalDocs": {"url": f"https://docs.aws.amazon.com/AmazonS3/latest/API/API_{route.operation}.html"},
        "responses": {"2XX": success, "default": _S3_ERROR},
        "security": [{"signature": []}, *([{}] if route.anonymous else [])],
    }
    if parameters:
        found["parameters"] = parameters
    if route.document:
        found["requestBody"] = {"content": {"application/xml": {}}}
    elif route.operation in _OBJECT_BODIES:
        found["requestBody"] = {"content": {"application/octet-stream": {}}}
    elif route.operation == "PostObject":
        found["requestBody"] = {"content": {"multipart/form-data": {}}}
    return found


def _parameter(name: str, location: str, schema: Schema, *, required: bool, empty: bool = False) -> dict[str, Any]:
    found: dict[str, Any] = {"name": name, "in": location, "schema": schema}
    if required:
        found["required"] = True
    if empty:
        found["allowEmptyValue"] = True
    return found


def dump(document: dict[str, Any]) -> bytes:
    return json.dumps(document, indent=1).encode() + b"\n"


def s3_operations() -> Iterable[Route]:
    """Those that there are, in the order of the table."""
    return [route for route in ROUTES if route.function is not None]

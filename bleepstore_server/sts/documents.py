"""Answers and errors of STS ("Making query requests", in the API Reference of AWS STS)."""

from __future__ import annotations

from collections.abc import Mapping

from bleepstore_server.wire.documents.text import escape

NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/"
#: Elements by their names, each with a text or with elements.
Elements = Mapping[str, "str | Elements"]


def _written(elements: Elements) -> str:
    found = ""
    for name, value in elements.items():
        found += f"<{name}>{escape(value) if isinstance(value, str) else _written(value)}</{name}>"
    return found


def answer_document(action: str, result: Elements, request_id: str) -> bytes:
    content = _written({f"{action}Result": result, "ResponseMetadata": {"RequestId": request_id}})
    return f'<{action}Response xmlns="{NAMESPACE}">{content}</{action}Response>'.encode()


def error_document(kind: str, code: str, message: str, request_id: str) -> bytes:
    """`kind` says whose fault it is: "Sender" or "Receiver"."""
    content = _written({"Error": {"Type": kind, "Code": code, "Message": message}, "RequestId": request_id})
    return f'<ErrorResponse xmlns="{NAMESPACE}">{content}</ErrorResponse>'.encode()

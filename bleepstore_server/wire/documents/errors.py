"""The document of an error."""

from __future__ import annotations

from collections.abc import Mapping

from bleepstore_server.wire.documents.declare import document, element, facts, render


@document("Error", namespace=False)
class Error:
    """`facts` are elements of their own, each with a text."""

    code: str = element("Code")
    message: str = element("Message")
    facts: Mapping[str, str] = facts()
    resource: str = element("Resource")
    request_id: str = element("RequestId")
    host_id: str = element("HostId")


def error_document(code: str, message: str, resource: str, request_id: str, facts: Mapping[str, str]) -> bytes:
    return render(
        Error(code=code, message=message, facts=facts, resource=resource, request_id=request_id, host_id=request_id)
    )

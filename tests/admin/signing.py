"""Calls of the admin address, signed as clients do."""

from __future__ import annotations

import json
from typing import Any

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.admin.test_listener import admin_url, ask
from tests.serving.conftest import ACCESS_KEY, SECRET_KEY, Served

__all__ = ["Admin", "signed_headers"]


def signed_headers(method: str, url: str, body: bytes, access_key: str, secret_key: str) -> dict[str, str]:
    request = AWSRequest(method=method, url=url, data=body)
    S3SigV4Auth(Credentials(access_key, secret_key), "s3", "us-east-1").add_auth(request)
    return dict(request.headers.items())


class Admin:
    """The admin API of a server, by one key or a token."""

    def __init__(
        self,
        server: Served | str,
        access_key: str = ACCESS_KEY,
        secret_key: str = SECRET_KEY,
        *,
        token: str | None = None,
    ) -> None:
        self._url = server if isinstance(server, str) else admin_url(server)
        self._pair = access_key, secret_key
        self._token = token

    def raw(self, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, Any, bytes]:
        url = f"{self._url}/admin/v1/{path}"
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token}"
        elif "Authorization" not in headers:
            headers |= signed_headers(method, url, body, *self._pair)
        return ask(url, method, body or None, **headers)

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """(status, value of the JSON)."""
        status, _headers, text = self.raw(method, path, b"" if body is None else json.dumps(body).encode())
        return status, json.loads(text)

    def do(self, method: str, path: str, body: object = None) -> Any:
        """The value of an answer that is a success."""
        status, value = self.ask(method, path, body)
        assert status < 300, (status, value)
        return value

"""The client of one endpoint, and its calls in our terms."""

from __future__ import annotations

import threading
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError
from urllib3.util import Timeout

from bleepstore.backends.aws.errors import Gone, Unequal, meaning
from bleepstore.backends.gateway.names import Layout, Names
from bleepstore.backends.gateway.retry import Retry
from bleepstore.backends.gateway.settings import GatewaySettings
from bleepstore.errors import BlobNotFound, ServiceUnavailable

#: Seconds to connect and to wait for an answer, at most.
_CONNECT, _ANSWER = 5.0, 20.0


class AwsClient:
    """Thread-safe; the client is made at the first use."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._settings = settings
        self.url = settings.url
        self.own_names = settings.layout is Layout.KEYS
        self._names = Names(container=settings.container, prefix=settings.prefix)
        self._retry = Retry(meaning=meaning, deadline=settings.deadline)
        self._lock = threading.Lock()
        self._made: Any = None

    @property
    def _client(self) -> Any:
        if self._made is None:
            with self._lock:
                if self._made is None:
                    self._made = self._make_client()
        return self._made

    def _make_client(self) -> Any:
        settings = self._settings
        options: dict[str, Any] = {
            "retries": {"total_max_attempts": 1},
            "max_pool_connections": settings.connections,
            "connect_timeout": _CONNECT,
            "read_timeout": _ANSWER,
            "tcp_keepalive": True,
            # Every body is sent with its MD5, and compared with the ETag of the answer.
            "request_checksum_calculation": "when_required",
            "s3": {"payload_signing_enabled": False},
        }
        if settings.endpoint_url is not None:
            options["s3"]["addressing_style"] = "path"
        session = boto3.Session()
        region = session.region_name or "us-east-1"
        try:
            client: Any = session.client(
                "s3", region_name=region, endpoint_url=settings.endpoint_url, config=Config(**options)
            )
        except (BotoCoreError, ValueError) as error:
            raise ServiceUnavailable(f"{self.url} cannot be used: {error}") from error
        # botocore lets a request say how long it waits for its answer, and not how long to connect.
        client._endpoint.http_session._get_request_timeout = self._timeout
        return client

    def _timeout(self, _request: Any) -> Timeout:
        """Wait no longer than what is left of the call's deadline."""
        return Timeout(connect=self._retry.clip(_CONNECT), read=self._retry.clip(_ANSWER))

    def _call(self, operation: str, /, **parameters: Any) -> Any:
        """The answer to one request. Raises Gone, Unequal, or an error of ours."""
        call = getattr(self._client, operation)
        return self._retry.run(lambda: call(**parameters))

    def _on_blob(self, handle: str, operation: str, /, **parameters: Any) -> Any:
        try:
            return self._call(operation, **parameters)
        except (Gone, Unequal):
            raise BlobNotFound(handle) from None

    def close(self) -> None:
        with self._lock:
            made, self._made = self._made, None
        if made is not None:
            made.close()

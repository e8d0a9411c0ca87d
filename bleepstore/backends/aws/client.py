"""The client of one endpoint, and its calls in our terms."""

from __future__ import annotations

import threading
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError

from bleepstore.backends.aws.errors import Gone, Unequal, meaning
from bleepstore.backends.gateway.names import Layout, Names
from bleepstore.backends.gateway.retry import Retry
from bleepstore.backends.gateway.settings import GatewaySettings
from bleepstore.errors import BlobNotFound, ServiceUnavailable

#: Seconds to wait for an answer, at most.
_ANSWER = 20.0


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
            "connect_timeout": 5,
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
            client = session.client(
                "s3", region_name=region, endpoint_url=settings.endpoint_url, config=Config(**options)
            )
        except (BotoCoreError, ValueError) as error:
            raise ServiceUnavailable(f"{self.url} cannot be used: {error}") from error
        client.meta.events.register("before-call.s3", self._clip)
        return client

    def _clip(self, params: dict[str, Any], **_: Any) -> None:
        """Wait for an answer no longer than what is left of the call's deadline."""
        params["context"]["read_timeout"] = self._retry.clip(_ANSWER)

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

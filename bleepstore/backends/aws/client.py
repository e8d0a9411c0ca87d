"""The client of one endpoint, and its calls in our terms."""

from __future__ import annotations

import functools
import threading
from typing import Any

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError
from botocore.loaders import Loader
from urllib3.util import Timeout

from bleepstore.backends.aws.errors import (
    PROVIDER,
    ObjectRefused,
    ProviderNotFound,
    ProviderPreconditionFailed,
    classify,
    status_of,
)
from bleepstore.backends.gateway.names import Names, naming_of
from bleepstore.backends.gateway.retry import ProviderRefused, Retry
from bleepstore.backends.gateway.settings import GatewaySettings
from bleepstore.backends.watching import CallWatch
from bleepstore.errors import AccessDenied, BlobNotFound, ServiceUnavailable

#: Seconds to connect and to wait for an answer, at most.
_CONNECT, _ANSWER = 5.0, 20.0


@functools.cache
def _loader() -> Loader:
    """Reads what botocore knows of S3, once for all clients of the process: it takes a tenth of a second."""
    loader: Loader = botocore.session.Session().get_component("data_loader")
    return loader


#: Why one object is refused where listings are not. A lack of permissions is a 403, never a 400.
_HINT_403 = "check its permissions for this object, and for the key that it is encrypted with."
_HINT_400 = (
    "it is encrypted with a key that comes with each request (SSE-C), which only its writer has, or with a KMS key "
    "that is disabled. Enable that key, or write the object again in another way."
)


class AwsClient:
    """Thread-safe; the client is made at the first use."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._settings = settings
        self.url = settings.url
        self._names = Names(container=settings.container, prefix=settings.prefix)
        self._naming = naming_of(settings.layout, self._names)
        self.calls = CallWatch()
        self._retry = Retry(classify=classify, deadline=settings.deadline, watch=self.calls)
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
        try:
            session = botocore.session.Session()
            session.register_component("data_loader", _loader())
            region = session.get_config_variable("region") or "us-east-1"
            client: Any = session.create_client(
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
        """The answer to one request. Raises ProviderNotFound, ProviderPreconditionFailed, or an error of ours."""
        call = getattr(self._client, operation)
        return self._retry.run(lambda: call(**parameters))

    def _head(self, **parameters: Any) -> Any:
        """What S3 says of an object. The answer to HEAD has no text, so if it is a refusal a listing is asked for the
        cause: an expired token, say. Raises ObjectRefused if it is none that concerns listings."""
        try:
            return self._call("head_object", **parameters)
        except (AccessDenied, ServiceUnavailable, ProviderRefused) as refused:
            status = status_of(refused.__cause__)
            if status not in (400, 401, 403):
                raise
            self._call("list_objects_v2", Bucket=parameters["Bucket"], MaxKeys=1)
            hint = _HINT_400 if status == 400 else _HINT_403
            raise ObjectRefused(
                f"{PROVIDER} does not let the gateway read {parameters['Key']}: {hint} (HEAD: {status})"
            ) from refused.__cause__

    def _on_blob(self, handle: str, operation: str, /, **parameters: Any) -> Any:
        try:
            return self._call(operation, **parameters)
        except (ProviderNotFound, ProviderPreconditionFailed):
            raise BlobNotFound(handle) from None

    def close(self) -> None:
        with self._lock:
            made, self._made = self._made, None
        if made is not None:
            made.close()

"""The client, its credentials, and its calls in our terms."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import quote

from google.api_core.exceptions import from_http_response
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage
from requests.adapters import HTTPAdapter

from bleepstore.backends.gateway.names import Address, Names, naming_of
from bleepstore.backends.gateway.retry import Retry
from bleepstore.backends.gateway.settings import GatewaySettings
from bleepstore.backends.gcs.errors import classify
from bleepstore.backends.watching import CallWatch

T = TypeVar("T")

#: Seconds to connect and to wait for an answer, at most.
_CONNECT, _ANSWER = 5.0, 20.0


def _is_plain(name: str) -> bool:
    """ "Object names cannot start with .well-known/acme-challenge/"."""
    return not name.startswith(".well-known/acme-challenge/")


def _make_client(settings: GatewaySettings) -> storage.Client:
    endpoint = settings.endpoint_url or os.environ.get("STORAGE_EMULATOR_HOST")
    options: dict[str, Any] = {}
    if endpoint is not None:
        options["client_options"] = {"api_endpoint": endpoint}
    if endpoint is not None and endpoint.startswith("http://"):
        options["credentials"] = AnonymousCredentials()  # type: ignore[no-untyped-call]  # an emulator
    project = os.environ.get("GOOGLE_CLOUD_PROJECT") or ("bleepstore" if "credentials" in options else None)
    client = storage.Client(project=project, **options)
    for scheme in ("http://", "https://"):
        client._http.mount(scheme, HTTPAdapter(pool_connections=2, pool_maxsize=settings.connections))
    return client


class GcsClient:
    """Thread-safe; the client is made at the first use."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._settings = settings
        self.url = settings.url
        self._names = Names(container=settings.container, prefix=settings.prefix, is_plain=_is_plain)
        self._naming = naming_of(settings.layout, self._names)
        self.calls = CallWatch()
        self._retry = Retry(classify=classify, deadline=settings.deadline, watch=self.calls)
        self._lock = threading.Lock()
        self._made: storage.Client | None = None

    @property
    def _client(self) -> Any:
        made = self._made
        if made is None:
            with self._lock:
                if self._made is None:
                    self._made = self._retry.run(lambda: _make_client(self._settings))
                made = self._made
        return made

    def _bucket(self, container: str) -> Any:
        return self._client.bucket(container)

    def _blob(self, address: Address, generation: int | None = None) -> Any:
        return self._bucket(address.container).blob(address.name, generation=generation)

    def _call(self, call: Callable[..., T], /, *arguments: Any, **options: Any) -> T:
        """The answer to one request that can be sent again. Raises ProviderNotFound, ProviderPreconditionFailed, or an
        error of ours."""
        return self._retry.run(lambda: call(*arguments, **self._once(), **options))

    def _once(self) -> dict[str, Any]:
        """Options of every call of the SDK: one attempt, since ours is the only retry, within what is left of it."""
        return {"retry": None, "timeout": (self._retry.clip(_CONNECT), self._retry.clip(_ANSWER))}

    def _send(self, method: str, url: str, *, accept: tuple[int, ...] = (), **options: Any) -> Any:
        """One request of our own, for what the SDK has no call that streams: its answer, whose status is a success or
        one to `accept`."""
        answer = self._client._http.request(method, url, timeout=self._once()["timeout"], **options)
        if answer.status_code >= 300 and answer.status_code not in accept:
            try:
                raise from_http_response(answer)  # type: ignore[no-untyped-call]
            finally:
                answer.close()
        return answer

    def _media_url(self, address: Address, which: str) -> str:
        base = self._client._connection.API_BASE_URL.rstrip("/")
        name = quote(address.name, safe="")
        return f"{base}/download/storage/v1/b/{address.container}/o/{name}?alt=media&{which}"

    def close(self) -> None:
        """Release the connections."""
        with self._lock:
            made, self._made = self._made, None
        if made is not None:
            made.close()

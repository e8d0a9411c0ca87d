"""The client of one account, its credentials, and its calls in our terms."""

from __future__ import annotations

import base64
import io
import os
import re
import threading
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit

import requests
from azure.core import MatchConditions
from azure.core.credentials import AccessToken
from azure.core.pipeline.transport import RequestsTransport
from azure.storage.blob import BlobServiceClient, ContentSettings
from requests.adapters import HTTPAdapter

from bleepstore.backends.azure.errors import classify
from bleepstore.backends.gateway.names import Address, Names, naming_of
from bleepstore.backends.gateway.retry import Retry
from bleepstore.backends.gateway.settings import GatewaySettings
from bleepstore.backends.gateway.streams import Doubts
from bleepstore.backends.watching import CallWatch
from bleepstore.errors import StoreError

T = TypeVar("T")

#: Bytes of a block that is sent from memory, while the next one comes.
WINDOW = 4 * 1024 * 1024
#: "Avoid blob names that end with a dot or a forward slash"; nor may a segment end in a dot, nor be a backslash's.
#: "Code points like \uE000 ... are not valid Unicode characters, so they cannot be used": those of private use.
_REFUSED = re.compile(r"\.(?:/|$)|/$|\\|[\ue000-\uf8ff]")
_MAX_SEGMENTS = 254
#: The headers of what Azure keeps of a blob's description, by their names in ContentSettings.
_SETTINGS = {
    "content_type": "x-ms-blob-content-type",
    "content_encoding": "x-ms-blob-content-encoding",
    "content_language": "x-ms-blob-content-language",
    "content_disposition": "x-ms-blob-content-disposition",
    "cache_control": "x-ms-blob-cache-control",
}


class _StaticToken:
    """A bearer token from the environment. Whoever puts it there renews it, and starts the process again."""

    def __init__(self, token: str) -> None:
        self._token = token

    def get_token(self, *_scopes: str, **_options: Any) -> AccessToken:
        return AccessToken(self._token, int(time.time()) + 3600)


def _is_plain(name: str) -> bool:
    return not _REFUSED.search(name) and name.count("/") < _MAX_SEGMENTS


class _Transport(RequestsTransport):  # type: ignore[misc]  # azure.core has no type information here
    """Waits no longer than what is left of a call's deadline. Seconds to connect and to wait for an answer, at most."""

    _CONNECT, _ANSWER = 5.0, 20.0

    def __init__(self, session: requests.Session, clip: Callable[[float], float]) -> None:
        super().__init__(session=session)
        self._clip = clip

    def send(self, request: Any, **options: Any) -> Any:
        options |= {"connection_timeout": self._clip(self._CONNECT), "read_timeout": self._clip(self._ANSWER)}
        return super().send(request, **options)


def _make_service(settings: GatewaySettings, retry: Retry) -> BlobServiceClient:
    """The client, by the first of: a connection string, an account key, a SAS, a bearer token, the default chain."""
    session = requests.Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(pool_connections=2, pool_maxsize=settings.connections))
    options: dict[str, Any] = {
        "transport": _Transport(session, retry.clip),
        "retry_total": 0,
        "retry_connect": 0,
        "retry_read": 0,
        "retry_status": 0,
        "max_single_get_size": 1 << 50,  # one request for any range
        "logging_enable": False,
    }
    text = os.environ.get("AZURE_STORAGE_CONNECTION_STRING")
    if text and settings.endpoint_url is None:
        try:
            return BlobServiceClient.from_connection_string(text, **options)
        except ValueError as error:  # whose text has none of the string in it
            raise StoreError(f"AZURE_STORAGE_CONNECTION_STRING is none: {error}") from None
    account = os.environ.get("AZURE_STORAGE_ACCOUNT")
    url = settings.endpoint_url or (f"https://{account}.blob.core.windows.net" if account else None)
    if url is None:
        raise StoreError(
            f"{settings.url}: which storage account? Set AZURE_STORAGE_ACCOUNT, AZURE_STORAGE_CONNECTION_STRING "
            "or an endpoint URL"
        )
    return BlobServiceClient(url, credential=_find_credential(url, account), **options)


def _find_credential(url: str, account: str | None) -> Any:
    parts = urlsplit(url)
    if key := os.environ.get("AZURE_STORAGE_KEY"):
        # The emulator has its account in the path, Azure in the host.
        name = parts.path.strip("/") or account or (parts.hostname or "").partition(".")[0]
        return {"account_name": name, "account_key": key}
    if sas := os.environ.get("AZURE_STORAGE_SAS_TOKEN"):
        return sas.removeprefix("?")
    if token := os.environ.get("AZURE_ACCESS_TOKEN"):
        if parts.scheme != "https":
            raise StoreError(f"AZURE_ACCESS_TOKEN is sent over https only, and the endpoint is {url}")
        return _StaticToken(token)
    from azure.identity import DefaultAzureCredential

    return DefaultAzureCredential()


def put_blob(
    blob: Any,
    body: bytes | io.RawIOBase,
    size: int,
    *,
    metadata: Mapping[str, str],
    content_settings: ContentSettings,
    md5: str | None = None,
    **condition: Any,
) -> Mapping[str, Any]:
    """Put Blob, with the MD5 (in hex) before the bytes where it is known; what the answer says. The SDK's own
    upload_blob would have in memory whatever it sends in one request; this is the call that it makes then."""
    headers = {} if md5 is None else {"Content-MD5": base64.b64encode(bytes.fromhex(md5)).decode()}
    headers |= {f"x-ms-meta-{name}": text for name, text in metadata.items()}
    for name, header in _SETTINGS.items():
        if (text := getattr(content_settings, name)) is not None:
            headers[header] = text
    match condition.get("match_condition"):
        case MatchConditions.IfMissing:
            headers["If-None-Match"] = "*"
        case MatchConditions.IfNotModified:
            headers["If-Match"] = condition["etag"]
    found = blob._client.block_blob.upload(
        content_length=size, body=body, headers=headers, cls=lambda answer, *_: answer.http_response.headers
    )
    stored = found.get("Content-MD5")
    return {
        "etag": found["ETag"],
        "last_modified": parsedate_to_datetime(found["Last-Modified"]),
        "content_md5": None if stored is None else base64.b64decode(stored),
    }


class AzureClient:
    """Thread-safe; the client is made at the first use."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._settings = settings
        self.url = settings.url
        self._names = Names(container=settings.container, prefix=settings.prefix, is_plain=_is_plain)
        self._naming = naming_of(settings.layout, self._names)
        self.calls = CallWatch()
        self._retry = Retry(classify=classify, deadline=settings.deadline, watch=self.calls)
        self._doubts = Doubts()
        self._lock = threading.Lock()
        self._made: BlobServiceClient | None = None

    @property
    def _service(self) -> BlobServiceClient:
        made = self._made
        if made is None:
            with self._lock:
                made = self._made = self._made or _make_service(self._settings, self._retry)
        return made

    def _blob(self, address: Address) -> Any:
        return self._service.get_blob_client(address.container, address.name)

    def _call(self, call: Callable[..., T], /, *arguments: Any, **options: Any) -> T:
        """The answer to one request that can be sent again. Raises ProviderNotFound, ProviderPreconditionFailed, or an
        error of ours."""
        return self._retry.run(lambda: call(*arguments, **options))

    def close(self) -> None:
        """Release the connections."""
        with self._lock:
            made, self._made = self._made, None
        if made is not None:
            made.close()

"""What a gateway can be told, and the URLs that name one."""

from __future__ import annotations

import importlib
import re
from urllib.parse import urlsplit

import attrs

from bleepstore.backends.base import Gateway
from bleepstore.backends.gateway.names import Layout
from bleepstore.errors import StoreError

#: The module of each scheme, which is also the extra that brings its SDK; it has `open_gateway(settings)`.
_MODULES = {"s3": "aws", "gs": "gcs", "az": "azure"}
_URL = re.compile("(?:s3|gs|az)://")


@attrs.frozen(kw_only=True)
class GatewaySettings:
    """Where objects are stored. Credentials are none of it: they come from the environment and the provider's standard
    chain.

    `container` is the S3 or GCS bucket or the Azure container for all buckets, or None for one for each bucket,
    `{prefix}{bucket}`. `connections` is how many requests are under way at once (the server's threads), `deadline` how
    many seconds a call may take with all its repetitions.
    """

    scheme: str
    container: str | None
    prefix: str = ""
    layout: Layout = Layout.KEYS
    endpoint_url: str | None = None
    connections: int = 16
    deadline: float = 30.0

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.container or ''}/{self.prefix}"


def is_gateway_url(location: object) -> bool:
    """Whether this names storage at a provider rather than a folder."""
    return isinstance(location, str) and _URL.match(location) is not None


def parse_url(url: str) -> tuple[str, str | None, str]:
    """(scheme, container, prefix) of `s3://container/prefix`. `s3:///prefix` is one container for each bucket.

    A prefix within a container is a folder: it ends in a slash, also where the URL does not.
    """
    parts = urlsplit(url)
    if parts.scheme not in _MODULES or parts.query or parts.fragment or "@" in parts.netloc:
        raise StoreError(f"{url!r} is not s3://, gs:// or az://, then a bucket or container, and a prefix if you like")
    prefix = parts.path.removeprefix("/")
    if parts.netloc and prefix and not prefix.endswith("/"):
        prefix += "/"
    if ".bleepstore" in prefix.split("/"):
        raise StoreError(f"{url!r}: a folder .bleepstore is for the store's own use")
    return parts.scheme, parts.netloc or None, prefix


def open_gateway(settings: GatewaySettings) -> Gateway:
    """The backend; its SDK is imported now, and asked nothing yet. Raises StoreError if it is not installed."""
    name = _MODULES[settings.scheme]
    try:
        module = importlib.import_module(f"bleepstore.backends.{name}")
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.startswith("bleepstore"):
            raise
        raise StoreError(f"{settings.url} needs the package {error.name}: pip install 'bleepstore[{name}]'") from error
    gateway: Gateway = module.open_gateway(settings)
    return gateway

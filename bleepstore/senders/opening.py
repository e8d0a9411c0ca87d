"""Which URL is whose."""

from __future__ import annotations

import importlib
import urllib.parse
from collections.abc import Mapping
from typing import Any

from bleepstore.errors import StoreError
from bleepstore.senders.sender import Sender

#: The scheme of a URL -> the module and the class that sends there. The class is called with the URL, and checks it.
SCHEMES: Mapping[str, str] = {
    "http": "bleepstore.senders.webhook:Webhook",
    "https": "bleepstore.senders.webhook:Webhook",
}


def open_sender(url: str) -> Sender:
    """What sends to this URL. Raises StoreError for a URL that names nothing, and where a client is not installed."""
    scheme = urllib.parse.urlsplit(url).scheme
    found = SCHEMES.get(scheme)
    if found is None:
        raise StoreError(f"events cannot be sent to {scheme or url!r}: the schemes are {', '.join(SCHEMES)}")
    module, _, name = found.partition(":")
    try:
        opened: Any = getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        raise StoreError(
            f"{scheme}: events need the package {error.name}: pip install 'bleepstore[{scheme}]'"
        ) from error
    sender: Sender = opened(url)
    return sender

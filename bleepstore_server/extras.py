"""What is not installed is named by the extra that brings it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from bleepstore.errors import StoreError

_PACKAGES = frozenset(
    {
        "werkzeug",
        "defusedxml",
        "gunicorn",
        "boto3",
        "botocore",
        "cryptography",
        "urllib3",
        "jwt",
        "jinja2",
        "opentelemetry",
    }
)


@contextlib.contextmanager
def needing(extras: str) -> Iterator[None]:
    """A block of imports. Raises StoreError, which says what to install, if a package of an extra is not there."""
    try:
        yield
    except ModuleNotFoundError as error:
        name = (error.name or "").partition(".")[0]
        if name not in _PACKAGES:
            raise
        raise StoreError(f"this needs the package {name}: pip install 'bleepstore[{extras}]'") from error

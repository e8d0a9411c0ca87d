"""Styles, scripts and icons: files of the package, which browsers may keep as long as they are the same."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from importlib import resources

from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response

_TYPES = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}  # fmt: skip


@functools.cache
def _assets() -> Mapping[str, bytes]:
    """By name. They are few, and small."""
    folder = resources.files(__package__).joinpath("static")
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.name.rpartition(".")[2] in _TYPES}


@functools.cache
def asset_version() -> str:
    """Of the names of all assets: another one when any of them has changed."""
    digest = hashlib.sha256()
    for name, data in sorted(_assets().items()):
        digest.update(name.encode() + b"\0" + data)
    return digest.hexdigest()[:12]


def respond(version: str, name: str) -> Response:
    """The version in its path is that of all, so that one which imports another gets the one it was made with."""
    data = _assets().get(name)
    if data is None:
        raise NotFound
    response = Response(data, content_type=_TYPES[name.rpartition(".")[2]])
    if version == asset_version():
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
    return response

"""Presigned URLs without a client: for programs that embed a store, or know a server's keys, and have no boto3."""

from __future__ import annotations

import time
from collections.abc import Mapping
from urllib.parse import quote, urlsplit

from bleepstore.names import check_bucket_name, check_key
from bleepstore_server.wire import sigv4

_UNRESERVED = "-_.~"


def presign_url(
    method: str,
    bucket: str,
    key: str,
    *,
    endpoint: str,
    access_key: str,
    secret_key: str,
    expires: int = 3600,
    region: str = "us-east-1",
    query: Mapping[str, str] | None = None,
    session_token: str | None = None,
) -> str:
    """A URL by which whoever has it may carry out `method` ("GET", "PUT", "HEAD", "DELETE") on one object, in the name
    of the access key, for `expires` seconds (at most a week). It is signed by SigV4, and holds for any body.

    `endpoint` is the URL of the server as its clients see it, such as `https://s3.example.org`. `query` has further
    parameters, which are signed too: `{"response-content-disposition": "attachment"}`, `{"versionId": "..."}`. The keys
    of a session come with its `session_token`, and the URL ends with it.

    Raises ValueError for what could never be accepted; InvalidBucketName, InvalidArgument, KeyTooLong.
    """
    check_bucket_name(bucket)
    check_key(key)
    split = urlsplit(endpoint)
    if split.scheme not in ("http", "https") or not split.netloc or split.query or split.fragment:
        raise ValueError(f"endpoint is a URL such as http://127.0.0.1:9000, not {endpoint!r}")
    if not 1 <= expires <= sigv4.MAX_EXPIRES:
        raise ValueError(f"expires is between 1 and {sigv4.MAX_EXPIRES} seconds, not {expires!r}")
    host = split.netloc.removesuffix(":80" if split.scheme == "http" else ":443")
    path = f"{split.path.rstrip('/')}/{bucket}/{quote(key, safe='/' + _UNRESERVED)}"
    pairs = [(_encode(name), _encode(value)) for name, value in (query or {}).items()]
    target = sigv4.presign(
        method.upper(),
        host,
        path,
        access_key=access_key,
        secret_key=secret_key,
        now=int(time.time()),
        expires=expires,
        region=region,
        query=pairs,
        token=session_token,
    )
    return f"{split.scheme}://{host}{target}"


def _encode(text: str) -> str:
    return quote(text, safe=_UNRESERVED)

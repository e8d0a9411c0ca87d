"""Links by which whoever has them reads an object, in the name of the key that is signed in."""

from __future__ import annotations

from collections.abc import Mapping

from bleepstore.access import LiveSession
from bleepstore_server.console.visit import Visit
from bleepstore_server.presigned import presign_url


def presigned(
    visit: Visit,
    bucket: str,
    key: str,
    *,
    seconds: int,
    version_id: str | None,
    query: Mapping[str, str] | None = None,
) -> str:
    """`visit.endpoint` has to be known."""
    assert visit.endpoint is not None
    signer = visit.session.signer
    of_version = {} if version_id is None else {"versionId": version_id}
    return presign_url(
        "GET",
        bucket,
        key,
        endpoint=visit.endpoint,
        access_key=signer.access_key,
        secret_key=signer.secret_key,
        expires=seconds,
        region=visit.config.region,
        query={**of_version, **(query or {})},
        session_token=visit.session.token if isinstance(signer, LiveSession) else None,
    )

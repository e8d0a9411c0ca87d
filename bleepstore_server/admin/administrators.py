"""Who may ask at the admin address, beyond what anybody may: an administrator of the store.

That is the store's own account (`keys add` without an owner, or the configured key), a user of it that has the canned
policy `admin` for all buckets, or who brings the token of the configuration. Sessions are none: what is lent for an
hour gives no keys away. A request is signed by AWS Signature Version 4 as one to S3 is (service `s3`), so that whatever
signs for S3 signs for this: curl --aws-sigv4, botocore, SDKs.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import TYPE_CHECKING

from bleepstore.access import Caller
from bleepstore.access.sessions import LiveSession
from bleepstore.model import Credential, User
from bleepstore.store import Store
from bleepstore_server.admin.rows import AdminError
from bleepstore_server.app_config import AppConfig
from bleepstore_server.exchange import parse_request
from bleepstore_server.layers.authenticate import Authenticator
from bleepstore_server.wire.errors import RequestError

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

from bleepstore import CannedPolicy

#: Stands for an access key where the token of the configuration was brought.
TOKEN = "admin_token"
_BEARER = "bearer "
_HINT = (
    "Sign the request by AWS Signature Version 4 (service s3) with a key of the store's account or of a user with the "
    "canned policy admin, or send `Authorization: Bearer` with the token of admin_token."
)


class Administrators:
    """Finds out who calls. Raises AdminError: 401 for who cannot be told, 403 for who may not."""

    def __init__(self, store: Store, config: AppConfig, token: str | None) -> None:
        self._store = store
        self._authenticator = Authenticator(store, config, {})
        self._token = None if token is None else token.encode()
        self._admin = json.loads(CannedPolicy.ADMIN.document())

    def __call__(self, environ: WSGIEnvironment, body: bytes) -> Caller:
        authorization = environ.get("HTTP_AUTHORIZATION", "").strip()
        if not authorization:
            raise AdminError(401, "NotAuthenticated", _HINT)
        if authorization[: len(_BEARER)].lower() == _BEARER:
            return self._check_token(authorization[len(_BEARER) :].strip(), environ)
        try:
            signer = self._authenticator.verify_service(
                parse_request(environ, ()), "s3", hashlib.sha256(body).hexdigest()
            )
        except RequestError as error:
            raise AdminError(403 if error.status == 403 else 401, error.code, error.message) from None
        if signer is None:
            raise AdminError(401, "NotAuthenticated", _HINT)
        if not self.is_admin(signer):
            raise AdminError(
                403,
                "AccessDenied",
                "This key is not an administrator's: it has to be of the store's own account or of a user of it with "
                "the canned policy admin, for all buckets.",
                access_key=signer.access_key,
            )
        return _caller(environ, signer)

    def _check_token(self, token: str, environ: WSGIEnvironment) -> Caller:
        # WSGI shows bytes as Latin-1.
        if self._token is None or not hmac.compare_digest(token.encode("latin-1", "replace"), self._token):
            raise AdminError(403, "InvalidToken", "This is not the token of the setting admin_token.")
        return Caller(self._store.owner, access_key=TOKEN, source_ip=environ.get("REMOTE_ADDR"))

    def is_admin(self, signer: Credential | LiveSession) -> bool:
        """Whether a key is an administrator's."""
        if isinstance(signer, LiveSession) or signer.owner.id != self._store.owner.id:
            return False
        user = signer.user
        return user is None or any(self._is_admins(policy) for policy in user.policies.values())

    def _is_admins(self, policy: str) -> bool:
        return bool(json.loads(policy) == self._admin)


def _caller(environ: WSGIEnvironment, signer: Credential | LiveSession) -> Caller:
    user = signer.user
    assert user is None or isinstance(user, User)
    return Caller(signer.owner, user=user, access_key=signer.access_key, source_ip=environ.get("REMOTE_ADDR"))

"""A request to STS, from its body to the answer."""

from __future__ import annotations

import datetime as dt
import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence

from bleepstore.access import LiveSession, RoleSession, Session, SessionCredentials, WebIdentity
from bleepstore.access.sessions import DEFAULT_KEY_DURATION, DEFAULT_ROLE_DURATION, MAX_SESSION_POLICY
from bleepstore.errors import S3Error, StoreReadOnly
from bleepstore.store import Store
from bleepstore_server.exchange import Exchange, Request
from bleepstore_server.layers.authenticate import Authenticator, Signer, identify
from bleepstore_server.response import Response
from bleepstore_server.sts.documents import Elements, answer_document, error_document
from bleepstore_server.sts.errors import ServiceError, of_signature, translate
from bleepstore_server.sts.parameters import VERSION, duration_of, parse_form, refuse_unsupported, required
from bleepstore_server.wire.documents.text import iso_time
from bleepstore_server.wire.errors import RequestError

_log = logging.getLogger("bleepstore.server")

SERVICE = "sts"
#: A web identity token has up to 20,000 characters, a policy up to 2,048.
MAX_BODY = 64 * 1024
_BY_WEB_IDENTITY = "AssumeRoleWithWebIdentity"
_PATHS = ("/-/sts", "/-/sts/")
_FORM = "application/x-www-form-urlencoded"


def is_for_sts(request: Request) -> bool:
    """Of a POST. A form that uploads an object is another type of form, and is sent to a bucket."""
    if request.raw_path in _PATHS and not request.virtual_host:
        return True
    return request.bucket is None and request.headers.get("content-type", "").lower().startswith(_FORM)


class SessionService:
    """Answers for one store."""

    def __init__(self, store: Store, authenticator: Authenticator, issuers: Sequence[str]) -> None:
        self._store = store
        self._authenticator = authenticator
        self._verify_web_identity = _verifier(issuers, store.engine.wall_clock)
        self._signed: Mapping[str, Callable[[Exchange, Signer, Mapping[str, str]], Elements]] = {
            "AssumeRole": self._assume_role,
            "GetCallerIdentity": self._get_caller_identity,
            "GetSessionToken": self._get_session_token,
        }

    def answer(self, exchange: Exchange) -> Response:
        """Every failure becomes an error of STS."""
        exchange.request.bucket = exchange.request.key = None
        status = 200
        try:
            action, result = self._operate(exchange)
            body = answer_document(action, result, exchange.request_id)
        except Exception as error:  # noqa: BLE001  # the boundary of this service
            refused = self._refused(exchange, error)
            status, exchange.error_code = refused.status, refused.code
            kind = "Receiver" if status >= 500 else "Sender"
            body = error_document(kind, refused.code, refused.message, exchange.request_id)
        return Response(status, [("Content-Type", "text/xml"), ("x-amzn-RequestId", exchange.request_id)], body)

    def _refused(self, exchange: Exchange, error: Exception) -> ServiceError:
        match error:
            case ServiceError():
                return error
            case S3Error() | StoreReadOnly():
                return translate(error)
            case RequestError():
                return of_signature(error)
        _log.error("request %s failed", exchange.request_id, exc_info=error)
        return ServiceError("InternalFailure")

    def _operate(self, exchange: Exchange) -> tuple[str, Elements]:
        request = exchange.request
        body = _body_of(request)
        parameters = parse_form(body)
        action = parameters.get("Action")
        if not action:
            raise ServiceError("MissingAction")
        function = self._signed.get(action)
        version = parameters.get("Version", VERSION)
        if version == VERSION and action == _BY_WEB_IDENTITY:
            exchange.operation = action
            return action, self._assume_role_with_web_identity(exchange, parameters)
        if function is None or version != VERSION:
            raise ServiceError("InvalidAction", f"Could not find operation {action} for version {version}")
        exchange.operation = action
        signer = self._authenticator.verify_service(request, SERVICE, hashlib.sha256(body).hexdigest())
        if signer is None:
            raise ServiceError("MissingAuthenticationToken")
        identify(exchange, signer, self._store.wall_time_ms())
        return action, function(exchange, signer, parameters)

    def _get_caller_identity(self, _exchange: Exchange, signer: Signer, _parameters: Mapping[str, str]) -> Elements:
        account, user = signer.owner.id, signer.user
        if user is None:
            arn, user_id = f"arn:aws:iam::{account}:root", account
        else:
            arn, user_id = user.session_arn if isinstance(user, RoleSession) else user.arn, user.id
        return {"Arn": arn, "UserId": user_id, "Account": account}

    def _assume_role(self, exchange: Exchange, signer: Signer, parameters: Mapping[str, str]) -> Elements:
        refuse_unsupported(parameters)
        made = self._store.assume_role(
            signer,
            required(parameters, "RoleArn"),
            required(parameters, "RoleSessionName"),
            duration=_role_duration(parameters),
            policy=parameters.get("Policy"),
            external_id=parameters.get("ExternalId"),
            caller=exchange.caller,
        )
        return {"Credentials": _credentials(made), **_assumed(made.session)}

    def _assume_role_with_web_identity(self, exchange: Exchange, parameters: Mapping[str, str]) -> Elements:
        """The token says who asks, and nobody signs."""
        refuse_unsupported(parameters)
        role, name = required(parameters, "RoleArn"), required(parameters, "RoleSessionName")
        duration = _role_duration(parameters)
        identity = self._verify_web_identity(required(parameters, "WebIdentityToken"))
        identify(exchange, None, self._store.wall_time_ms())
        made = self._store.assume_role_with_web_identity(
            identity, role, name, duration=duration, policy=parameters.get("Policy"), caller=exchange.caller
        )
        return {
            "SubjectFromWebIdentityToken": identity.subject,
            "Audience": identity.audience,
            "Provider": f"arn:aws:iam::{made.session.owner.id}:oidc-provider/{identity.provider}",
            "Credentials": _credentials(made),
            **_assumed(made.session),
        }

    def _get_session_token(self, _exchange: Exchange, signer: Signer, parameters: Mapping[str, str]) -> Elements:
        if isinstance(signer, LiveSession):
            raise ServiceError("AccessDenied", "Cannot call GetSessionToken with session credentials")
        refuse_unsupported(parameters)
        duration = duration_of(parameters, DEFAULT_KEY_DURATION, 900, 129_600)
        return {"Credentials": _credentials(self._store.create_session(signer, duration=duration))}


def _verifier(issuers: Sequence[str], clock: Callable[[], int]) -> Callable[[str], WebIdentity]:
    """What verifies web identities. It needs an extra where there are issuers."""
    if not issuers:
        return _no_provider
    from bleepstore_server.sts.web_identities import WebIdentities

    return WebIdentities(issuers, clock).verify


def _no_provider(_token: str) -> WebIdentity:
    raise ServiceError("InvalidIdentityToken", "No OpenIDConnect provider found in your account.")


def _body_of(request: Request) -> bytes:
    length = request.content_length
    if length is None or length > MAX_BODY:
        raise ServiceError("ValidationError", f"A request needs a Content-Length of up to {MAX_BODY} bytes.")
    pieces = []
    while length and (piece := request.read_body(length)):
        pieces.append(piece)
        length -= len(piece)
    if length:
        raise ServiceError("ValidationError", "The body ended early.")
    return b"".join(pieces)


def _role_duration(parameters: Mapping[str, str]) -> dt.timedelta:
    return duration_of(parameters, DEFAULT_ROLE_DURATION, 900, 43_200)


def _assumed(session: Session) -> Elements:
    """Who has a session of a role."""
    arn = f"arn:aws:sts::{session.owner.id}:assumed-role/{session.role}/{session.name}"
    found: Elements = {"AssumedRoleUser": {"AssumedRoleId": f"{session.role_id}:{session.name}", "Arn": arn}}
    if session.policy is None:
        return found
    return {**found, "PackedPolicySize": str(-(-100 * len(session.policy) // MAX_SESSION_POLICY))}


def _credentials(made: SessionCredentials) -> Elements:
    return {
        "AccessKeyId": made.session.access_key,
        "SecretAccessKey": made.session.secret_key,
        "SessionToken": made.token,
        "Expiration": iso_time(made.session.expires_ms).replace(".000Z", "Z"),
    }

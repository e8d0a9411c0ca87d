"""Uploads by HTML form: POST to a bucket with multipart/form-data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from urllib.parse import urlencode, urlsplit

import attrs

from bleepstore.access import AclRequest, Action
from bleepstore.errors import EntityTooLarge
from bleepstore.model import MAX_SINGLE_PUT, ObjectAttributes, ObjectVersion
from bleepstore_server.exchange import Exchange
from bleepstore_server.layers.authenticate import Signer, identify
from bleepstore_server.operations.object_lock import check_digest
from bleepstore_server.response import Response, xml
from bleepstore_server.wire import bodies, encryption, object_lock, post_policy
from bleepstore_server.wire import headers as h
from bleepstore_server.wire.bodies import hurry
from bleepstore_server.wire.documents.declare import malformed
from bleepstore_server.wire.documents.objects import PostResponse
from bleepstore_server.wire.documents.tagging import parse_tagging
from bleepstore_server.wire.errors import RequestError
from bleepstore_server.wire.expiry import expiration_header
from bleepstore_server.wire.form import Form, read_form
from bleepstore_server.wire.sigv4 import TOKEN

#: Fields of S3 that say what a header x-amz- of that name says to PutObject, or sign the form.
_APPLIED = frozenset(
    {
        "x-amz-acl", "x-amz-algorithm", "x-amz-checksum-algorithm", "x-amz-credential", "x-amz-date",
        "x-amz-request-payer", "x-amz-sdk-checksum-algorithm", "x-amz-security-token", "x-amz-signature",
        "x-amz-storage-class", "x-amz-website-redirect-location", *encryption.FIELDS, *bodies.FIELDS,
        *h.GRANT_HEADERS, *object_lock.FIELDS,
    }
)  # fmt: skip


def post_object(exchange: Exchange) -> Response:
    request = exchange.request
    # A header's signature does not count here: the form speaks for itself.
    hurry(request.environ)  # nobody knows yet who asks
    form, chunks = read_form(request.read_body, request.content_length, request.headers.get("content-type"))
    hurry(request.environ, False)
    fields = form.fields
    if "key" not in fields:
        raise post_policy.missing_field("key")
    request.key = fields["key"]
    now_ms = exchange.store.wall_time_ms()
    region = exchange.config.region if exchange.config.strict_region else None
    token = fields.get(TOKEN)
    lookup: Callable[[str], Signer | None]
    lookup = exchange.find_credential if token is None else exchange.find_signer(token)
    granted: post_policy.PolicyGrant[Signer] | None
    granted = post_policy.verify_form(fields, exchange.bucket, lookup, now_ms // 1000, region)
    least, most = (0, MAX_SINGLE_PUT) if granted is None else (granted.min_length, granted.max_length)
    exchange.fields = fields
    identify(exchange, None if granted is None else granted.secret, now_ms)
    # Who may not upload here learns nothing else of what is wrong, or of who has an account.
    exchange.store.check_access(
        Action.PUT_OBJECT, exchange.bucket, fields["key"], is_preliminary=True, caller=exchange.caller
    )
    checksum = bodies.sent_checksum(fields)  # an unknown algorithm is its own error, as in a header
    _refuse_unsupported(exchange, fields)
    bodies.check_form_algorithm(fields, checksum)
    attributes = _attributes(fields)
    if checksum is None and "content-md5" not in fields:
        check_digest(exchange, "Post Object", attributes)
    version = exchange.store.put_object(
        exchange.bucket,
        fields["key"],
        _bounded(chunks, least, most),
        attributes=attributes,
        acl=_acl(fields, exchange),
        content_md5=fields.get("content-md5"),
        checksum=checksum,
        checksum_algorithm=bodies.sdk_algorithm(fields, checksum.algorithm if checksum else None),
        encryption=exchange.asked_encryption(fields),
        condition=h.write_condition(fields),
        caller=exchange.caller,
    )
    return _answer(exchange, form, version)


def _refuse_unsupported(exchange: Exchange, fields: Mapping[str, str]) -> None:
    """Whatever S3 has a meaning for is applied or refused. What it does not know, such as the button that was pressed,
    it ignores."""
    h.refuse_unsupported(fields, object_lock.FIELDS | encryption.FIELDS)
    for name in fields:
        if name.startswith("x-amz-") and not name.startswith(h.META) and name not in _APPLIED:
            raise encryption.not_implemented(name)
    if fields.get("bucket", exchange.bucket) != exchange.bucket:
        raise RequestError(
            "InvalidArgument",
            "The field 'bucket' names another bucket than the form is sent to.",
            fields={"ArgumentName": "bucket", "ArgumentValue": fields["bucket"]},
        )


def _attributes(fields: Mapping[str, str]) -> ObjectAttributes:
    attributes = h.object_attributes(fields, decode=str)
    if "tagging" not in fields:
        return attributes
    if not fields["tagging"]:
        raise malformed("The field tagging is empty.")
    return attrs.evolve(attributes, tags=parse_tagging(fields["tagging"].encode()))


def _bounded(chunks: Iterator[bytes], least: int, most: int | None) -> Iterator[bytes]:
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if most is not None and size > most:
            raise EntityTooLarge(size, most)
        yield chunk
    if size < least:
        raise RequestError("EntityTooSmall", fields={"ProposedSize": str(size), "MinSizeAllowed": str(least)})


def _acl(fields: Mapping[str, str], exchange: Exchange) -> AclRequest | None:
    if "acl" in fields and "x-amz-acl" in fields:
        raise RequestError("InvalidArgument", "The form has the fields 'acl' and 'x-amz-acl'. Send one of them.")
    asked = {name: value for name, value in fields.items() if name.startswith("x-amz-grant-") and value}
    canned = fields.get("acl") or fields.get("x-amz-acl")
    if canned:
        asked["x-amz-acl"] = canned
    return h.acl_request(asked, exchange)


def _answer(exchange: Exchange, form: Form, version: ObjectVersion) -> Response:
    """ "success_action_redirect", else "success_action_status" of 200, 201 or 204 (the default)."""
    location = exchange.url_of(version.key)
    etag: list[tuple[str, str]] = [
        ("ETag", f'"{version.etag}"'),
        *exchange.encryption_headers(version.encryption, form.fields, with_context=True),
        *h.version_headers(version),
    ]
    if version.expiry is not None:
        etag.append(expiration_header(version.expiry))
    target = _redirect_of(form.fields, version)
    if target is not None:
        return Response(303, [*etag, ("Location", target)])
    headers = [*etag, ("Location", location)]
    match form.fields.get("success_action_status"):
        case "200":
            return Response(200, headers)
        case "201":
            answer = xml(
                PostResponse(location=location, bucket=version.bucket, key=version.key, etag=version.etag), 201
            )
            answer.headers.extend(headers)
            return answer
        case _:
            return Response(204, headers)


def _redirect_of(fields: Mapping[str, str], version: ObjectVersion) -> str | None:
    """Where the browser goes, or None. "If Amazon S3 cannot interpret the URL, it acts as if the field is not present";
    the field `redirect` is the older name."""
    redirect = fields.get("success_action_redirect") or fields.get("redirect") or ""
    if not (redirect.isascii() and redirect.isprintable()) or " " in redirect:
        return None
    try:
        url = urlsplit(redirect)
    except ValueError:
        return None
    if url.scheme not in ("http", "https") or not url.netloc:
        return None
    facts = urlencode({"bucket": version.bucket, "key": version.key, "etag": f'"{version.etag}"'})
    return url._replace(query=f"{url.query}&{facts}" if url.query else facts).geturl()

"""What the WSGI app can be told, as an attribute each (see `config` for where servers have it from)."""

from __future__ import annotations

import ipaddress
from typing import Any
from urllib.parse import urlsplit

import attrs

from bleepstore.errors import BleepStoreError, InvalidArgument
from bleepstore.names import check_access_key

WELL_KNOWN = ("bleepstore", "bleepstore-secret")


class ConfigError(BleepStoreError):
    """A setting that cannot be used; the message names it."""


def setting(default: object, help: str, *, flag: bool = True, **options: Any) -> Any:
    return attrs.field(default=default, metadata={"help": help, "flag": flag}, **options)


def _check_networks(_: object, attribute: attrs.Attribute[Any], value: tuple[str, ...]) -> None:
    for text in value:
        try:
            ipaddress.ip_network(text)
        except ValueError as error:
            raise ConfigError(f"{attribute.name}: {text!r} is not an IP address or network ({error})") from None


def _check_domains(_: object, attribute: attrs.Attribute[Any], value: tuple[str, ...]) -> None:
    for text in value:
        if text != text.lower() or text.startswith(".") or "/" in text or ":" in text or not text:
            raise ConfigError(f"{attribute.name}: {text!r} is not a host name in lower case without a port")


def _check_origins(_: object, attribute: attrs.Attribute[Any], value: tuple[str, ...]) -> None:
    for text in value:
        if text.count("*") > 1 or not (text.isascii() and text.isprintable() and text):
            raise ConfigError(f"{attribute.name}: {text!r} is not an origin with at most one *")


def is_issuer_url(url: str) -> bool:
    """Whether it is a URL by https, or of this machine."""
    try:
        split = urlsplit(url)
        host = split.hostname or ""
    except ValueError:
        return False
    if not host or split.query or split.fragment or split.username is not None:
        return False
    try:
        is_loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_loopback = host == "localhost"
    return split.scheme == "https" or (split.scheme == "http" and is_loopback)


def parse_issuer(text: str) -> tuple[str, frozenset[str]]:
    """(issuer, audiences) of a value of `oidc_issuer`."""
    issuer, *audiences = text.split()
    return issuer, frozenset(audiences)


def _check_issuers(_: object, attribute: attrs.Attribute[Any], value: tuple[str, ...]) -> None:
    for text in value:
        issuer, *audiences = text.split() or [""]
        if not is_issuer_url(issuer) or not audiences:
            raise ConfigError(f"{attribute.name}: {text!r} is not a URL by https and, after a space, an audience")


def _check_url(_: object, attribute: attrs.Attribute[Any], value: str | None) -> None:
    try:
        is_url = value is None or bool(urlsplit(value).hostname and value.startswith(("http://", "https://")))
    except ValueError:
        is_url = False
    if not is_url or not (value or "").isprintable():
        raise ConfigError(f"{attribute.name}: {value!r} is not a URL that begins with http:// or https://")


@attrs.frozen(kw_only=True)
class AppConfig:
    """What `create_app` can be told."""

    domains: tuple[str, ...] = setting(
        (), "host names below which the first label names a bucket (virtual-host style)", validator=_check_domains
    )
    website_domain: tuple[str, ...] = setting(
        (),
        "host names below which the first labels name a bucket whose website is shown, such as website.localhost",
        validator=_check_domains,
    )
    region: str = setting("us-east-1", "the region that buckets are said to be in")
    strict_region: bool = setting(False, "refuse signatures for another region")
    public_endpoint: str | None = setting(None, "the URL that clients see, where it is another, as behind a proxy")
    console_url: str | None = setting(
        None,
        "the URL of the console as browsers reach it: one that opens the S3 address is sent there; without, the one of "
        "the admin address, for browsers on this machine",
        validator=_check_url,
    )
    trusted_proxies: tuple[str, ...] = setting(
        (),
        "networks whose X-Forwarded-Proto, X-Forwarded-Host and X-Forwarded-For are believed",
        validator=_check_networks,
    )
    cors_allow_origin: tuple[str, ...] = setting(
        (),
        "origins whose pages may use every bucket without CORS rules of its own, such as http://localhost:3000 or *: "
        "for development",
        validator=_check_origins,
    )
    access_key: str | None = setting(None, "an access key of the store's owner, beside those of `bleepstore keys`")
    secret_key: str | None = setting(
        None, "its secret; only by file or environment, as other users see flags", flag=False, repr=False
    )
    oidc_issuer: tuple[str, ...] = setting(
        (),
        "an OpenID Connect provider whose tokens are believed (AssumeRoleWithWebIdentity): its URL and, after a space, "
        "the audiences that count, as in 'https://id.example.org my-app'",
        validator=_check_issuers,
    )
    require_content_sha256: bool = setting(
        True,
        "refuse a request of signature version 4 without x-amz-content-sha256, as AWS does; off, the digest is that of "
        "the body, which is read first, up to 64 MiB",
    )
    allow_well_known_key: bool = setting(
        False, f"accept the access key {WELL_KNOWN[0]!r} with the secret {WELL_KNOWN[1]!r}: for tests only"
    )

    report_encryption: bool = setting(
        False,
        "say of objects that are not encrypted that they are (AES256), as S3 says of every object: for tests only; a "
        "store in memory says so anyway",
    )
    customer_keys_over_http: bool = setting(
        False,
        "accept encryption keys of clients (SSE-C) without TLS, on which anybody can read them; a store in memory does "
        "so anyway",
    )

    def __attrs_post_init__(self) -> None:
        if (self.access_key is None) != (self.secret_key is None):
            raise ConfigError("access_key and secret_key: set both or neither")
        if self.access_key is not None:
            try:
                check_access_key(self.access_key)
            except InvalidArgument as error:
                raise ConfigError(f"access_key: {error.message}") from None

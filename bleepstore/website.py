"""What the website configuration of a bucket means for a request: the object that is shown, or where it is sent on to.

The rules are those of "Hosting a static website using Amazon S3". They know keys and the statuses of answers, and
nothing of where objects are stored; `bleepstore_server.website` serves by them.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import attrs

#: Of a redirect that names no status.
_MOVED = 301
#: What a replacement keeps as it is given: rules make queries and fragments of it.
_OF_URLS = "/?#[]@!$&'()*+,;=:%~"


@attrs.frozen(kw_only=True)
class Redirect:
    """Where a request is sent on to. What is None stays as it was in the request.

    `path` is a key, or what replaced one, as a URL has it: ASCII without spaces and control characters."""

    status: int
    path: str
    protocol: str | None = None
    host: str | None = None

    def location(self, protocol: str, host: str) -> str:
        """The URL; `protocol` and `host` are those of the request."""
        return f"{self.protocol or protocol}://{self.host or host}/{self.path}"


@attrs.frozen(kw_only=True)
class RoutingRule:
    """A rule for keys with a prefix, or for an error, or for both; without either, for all."""

    prefix: str = ""
    error: int | None = None
    status: int = _MOVED
    protocol: str | None = None
    host: str | None = None
    key: str | None = None
    key_prefix: str | None = None

    def redirect(self, key: str) -> Redirect:
        if self.key is not None:
            path = encode_reference(self.key)
        elif self.key_prefix is not None:
            path = encode_reference(self.key_prefix) + encode_key(key[len(self.prefix) :])
        else:
            path = encode_key(key)
        return Redirect(status=self.status, path=path, protocol=self.protocol, host=self.host)


@attrs.frozen(kw_only=True)
class Website:
    """A website configuration that is acted upon. `redirects_all` is where all requests go, if they do."""

    index_suffix: str = ""
    error_key: str | None = None
    redirects_all: RoutingRule | None = None
    rules: tuple[RoutingRule, ...] = ()

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Website:
        """Of a document that `check_document` took."""
        everything = document.get("RedirectAllRequestsTo")
        if everything is not None:
            return cls(redirects_all=RoutingRule(host=everything["HostName"], protocol=everything.get("Protocol")))
        return cls(
            index_suffix=document["IndexDocument"]["Suffix"],
            error_key=document.get("ErrorDocument", {}).get("Key"),
            rules=tuple(map(_rule, document.get("RoutingRules", ()))),
        )

    def index_key(self, key: str) -> str:
        """The key of the object that a request for this key shows: of the root and of folders, the index document."""
        return key + self.index_suffix if not key or key.endswith("/") else key

    def redirect(self, key: str, error: int | None = None) -> Redirect | None:
        """Where a request for this key goes instead, by the first rule that is for it. `error` is the status that it
        would be answered with otherwise; None: that is not known yet, and the rules for errors do not count."""
        if self.redirects_all is not None:
            return self.redirects_all.redirect(key)
        for rule in self.rules:
            if rule.error == error and key.startswith(rule.prefix):
                return rule.redirect(key)
        return None


@functools.lru_cache(256)
def parse_website(document: str) -> Website:
    """Of a document as it is stored."""
    return Website.of(json.loads(document))


def encode_key(key: str) -> str:
    """A key as the path of a URL, after its first slash. One that begins with a slash begins with an escape: after "//"
    browsers expect a host."""
    path = quote(key, safe="/-_.*~")
    return "%2F" + path[1:] if path.startswith("/") else path


def encode_reference(text: str | bytes) -> str:
    """What the owner of a bucket or of an object sends visitors to, by characters that a header can hold."""
    return quote(text, safe=_OF_URLS)


def _rule(document: Mapping[str, Any]) -> RoutingRule:
    condition, redirect = document.get("Condition", {}), document["Redirect"]
    error = condition.get("HttpErrorCodeReturnedEquals")
    return RoutingRule(
        prefix=condition.get("KeyPrefixEquals", ""),
        error=None if error is None else int(error),
        status=int(redirect.get("HttpRedirectCode", _MOVED)),
        protocol=redirect.get("Protocol"),
        host=redirect.get("HostName"),
        key=redirect.get("ReplaceKeyWith"),
        key_prefix=redirect.get("ReplaceKeyPrefixWith"),
    )

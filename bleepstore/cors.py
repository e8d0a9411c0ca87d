"""Cross-origin requests: which pages of other origins may use a bucket in a browser ("Using cross-origin resource
sharing (CORS)").

    rules = (CorsRule(allowed_origins=("https://example.com",), allowed_methods=("GET", "PUT")),)

Rules say nothing of who may do what: a request that a rule allows is decided on as any other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import attrs

from bleepstore.errors import InvalidRequest, MalformedConfiguration

METHODS = frozenset({"GET", "PUT", "HEAD", "POST", "DELETE"})
MAX_RULES = 100
MAX_RULE_ID = 255
_MAX_AGE = 2**31 - 1
#: "The CORS configuration document is limited to 64 KB in size."
_MAX_TEXT = 64 * 1024


@attrs.frozen(kw_only=True)
class CorsRule:
    """Pages of `allowed_origins` may use `allowed_methods`, and send `allowed_headers` that browsers ask about; scripts
    see `expose_headers` of the answers. A browser remembers for `max_age_seconds` that it may. An origin or a header
    that is allowed may have one "*", for any text."""

    allowed_origins: tuple[str, ...]
    allowed_methods: tuple[str, ...]
    allowed_headers: tuple[str, ...] = ()
    expose_headers: tuple[str, ...] = ()
    max_age_seconds: int | None = None
    id: str | None = None

    def pattern_for(self, origin: str) -> str | None:
        """The allowed origin that this one is, or None."""
        return next((pattern for pattern in self.allowed_origins if _is_like(origin, pattern)), None)

    def allows_headers(self, names: Iterable[str]) -> bool:
        """Whether a request with these headers is allowed; names are compared in lower case."""
        patterns = [pattern.lower() for pattern in self.allowed_headers]
        return all(any(_is_like(name.lower(), pattern) for pattern in patterns) for name in names)


def find_rule(rules: Iterable[CorsRule], origin: str, method: str, headers: Sequence[str] = ()) -> CorsRule | None:
    """The first rule that allows a request. "Amazon S3 evaluates the CORS configuration for the bucket and uses the
    first CORSRule rule that matches the incoming browser request." """
    for rule in rules:
        if method in rule.allowed_methods and rule.pattern_for(origin) is not None and rule.allows_headers(headers):
            return rule
    return None


def _is_like(text: str, pattern: str) -> bool:
    before, star, after = pattern.partition("*")
    if not star:
        return text == pattern
    return len(text) >= len(before) + len(after) and text.startswith(before) and text.endswith(after)


# -- what S3 refuses


def check_cors(rules: Sequence[CorsRule]) -> None:
    """Raises MalformedConfiguration, InvalidRequest for rules that S3 would not take; TypeError for what are no
    rules."""
    if not 1 <= len(rules) <= MAX_RULES:
        raise MalformedConfiguration(f"A CORS configuration has 1 to {MAX_RULES} rules.")
    size = 0
    for rule in rules:
        _check_rule(rule)
        size += sum(map(len, (*rule.allowed_origins, *rule.allowed_headers, *rule.expose_headers, rule.id or "")))
    if size > _MAX_TEXT:
        raise InvalidRequest("The CORS configuration is limited to 64 KB in size.")


def _check_rule(rule: CorsRule) -> None:
    texts = (*rule.allowed_origins, *rule.allowed_methods, *rule.allowed_headers, *rule.expose_headers)
    if not all(isinstance(text, str) for text in (*texts, rule.id or "")):
        raise TypeError("the texts of a CorsRule are str")
    if not rule.allowed_origins or not rule.allowed_methods:
        raise MalformedConfiguration("A CORS rule has an AllowedOrigin and an AllowedMethod.")
    if not all(text.isprintable() and text.isascii() for text in texts):
        raise InvalidRequest("Origins, methods and headers of CORS rules are printable ASCII.")
    for method in rule.allowed_methods:
        if method not in METHODS:
            raise InvalidRequest(f"Found unsupported HTTP method in CORS config. Unsupported method is {method}")
    for name, patterns in (("AllowedOrigin", rule.allowed_origins), ("AllowedHeader", rule.allowed_headers)):
        for pattern in patterns:
            if pattern.count("*") > 1:
                raise InvalidRequest(f'{name} "{pattern}" can not have more than one wildcard.')
    for header in rule.expose_headers:
        if "*" in header:
            raise InvalidRequest(
                f'ExposeHeader "{header}" contains wildcard. We currently do not support wildcard for ExposeHeader.'
            )
    if rule.id is not None and len(rule.id) > MAX_RULE_ID:
        raise InvalidRequest(f"The ID of a CORS rule has up to {MAX_RULE_ID} characters.")
    age = rule.max_age_seconds
    if age is not None and not 0 <= age <= _MAX_AGE:
        raise InvalidRequest(f"MaxAgeSeconds is a number of seconds, 0 to {_MAX_AGE}.")

"""The document of a bucket's rules for cross-origin requests."""

from __future__ import annotations

from collections.abc import Sequence

from bleepstore.cors import MAX_RULES, CorsRule
from bleepstore_server.wire.documents.declare import INTEGER, TOKEN, document, element, elements, parse


@document()
class CorsRuleElement:
    id: str | None = element("ID", default=None)
    allowed_headers: Sequence[str] = elements("AllowedHeader", TOKEN, default=())
    allowed_methods: Sequence[str] = elements("AllowedMethod", TOKEN, at_least=1)
    allowed_origins: Sequence[str] = elements("AllowedOrigin", TOKEN, at_least=1)
    expose_headers: Sequence[str] = elements("ExposeHeader", TOKEN, default=())
    max_age_seconds: int | None = element("MaxAgeSeconds", INTEGER, default=None)


@document("CORSConfiguration")
class CorsConfiguration:
    rules: Sequence[CorsRuleElement] = elements("CORSRule", CorsRuleElement, at_least=1, at_most=MAX_RULES)


def parse_cors(body: bytes) -> tuple[CorsRule, ...]:
    """The rules. Raises RequestError: MalformedXML."""
    return tuple(
        CorsRule(
            id=rule.id,
            allowed_origins=tuple(rule.allowed_origins),
            allowed_methods=tuple(rule.allowed_methods),
            allowed_headers=tuple(rule.allowed_headers),
            expose_headers=tuple(rule.expose_headers),
            max_age_seconds=rule.max_age_seconds,
        )
        for rule in parse(CorsConfiguration, body).rules
    )


def cors_document(rules: Sequence[CorsRule]) -> CorsConfiguration:
    return CorsConfiguration(
        rules=[
            CorsRuleElement(
                id=rule.id,
                allowed_headers=rule.allowed_headers,
                allowed_methods=rule.allowed_methods,
                allowed_origins=rule.allowed_origins,
                expose_headers=rule.expose_headers,
                max_age_seconds=rule.max_age_seconds,
            )
            for rule in rules
        ]
    )

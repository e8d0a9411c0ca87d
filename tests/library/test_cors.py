"""Which rule allows a cross-origin request, and which rules S3 takes."""

from __future__ import annotations

from typing import Any

import pytest

import bleepstore
from bleepstore import CorsRule
from bleepstore.cors import find_rule
from bleepstore.errors import NoSuchCors, S3Error


def rule(**fields: Any) -> CorsRule:
    return CorsRule(**{"allowed_origins": ("https://a.test",), "allowed_methods": ("GET",)} | fields)


@pytest.mark.parametrize(
    ("pattern", "origin", "allowed"),
    [
        ("*", "https://a.test", True),
        ("*", "null", True),
        ("https://a.test", "https://a.test", True),
        ("https://a.test", "https://A.test", False),
        ("https://a.test", "https://a.test:8080", False),
        ("https://a.test", "http://a.test", False),
        ("https://*.test", "https://a.test", True),
        ("https://*.test", "https://.test", True),
        ("https://*.test", "https://a.b.test", True),
        ("https://*.test", "https://a.test.evil", False),
        ("https://*", "https://anything:1", True),
        ("https://*", "http://anything", False),
        ("ab*bc", "abc", False),
        ("http://localhost:*", "http://localhost:3000", True),
    ],
)
def test_an_origin(pattern: str, origin: str, allowed: bool) -> None:
    found = find_rule([rule(allowed_origins=("https://x.test", pattern))], origin, "GET")
    assert (found is not None) is allowed


@pytest.mark.parametrize(
    ("patterns", "names", "allowed"),
    [
        ((), [], True),
        ((), ["content-type"], False),
        (("*",), ["content-type", "x-amz-date"], True),
        (("x-amz-*",), ["x-amz-date", "X-Amz-Acl"], True),
        (("X-AMZ-*",), ["x-amz-date", "content-type"], False),
        (("Content-Type",), ["content-type"], True),
    ],
)
def test_headers(patterns: tuple[str, ...], names: list[str], allowed: bool) -> None:
    found = find_rule([rule(allowed_headers=patterns)], "https://a.test", "GET", names)
    assert (found is not None) is allowed


def test_the_first_rule_that_allows_it_counts() -> None:
    first, second = rule(id="first"), rule(id="second", allowed_methods=("GET", "PUT"), allowed_origins=("*",))
    assert find_rule([first, second], "https://a.test", "GET") is first
    assert find_rule([first, second], "https://b.test", "GET") is second
    assert find_rule([first, second], "https://a.test", "PUT") is second
    assert find_rule([first, second], "https://a.test", "DELETE") is None


REFUSED = [
    ([], "MalformedXML", "A CORS configuration has 1 to 100 rules."),
    ([rule()] * 101, "MalformedXML", "A CORS configuration has 1 to 100 rules."),
    ([rule(allowed_origins=())], "MalformedXML", "A CORS rule has an AllowedOrigin and an AllowedMethod."),
    ([rule(allowed_methods=())], "MalformedXML", "A CORS rule has an AllowedOrigin and an AllowedMethod."),
    (
        [rule(allowed_methods=("PATCH",))],
        "InvalidRequest",
        "Found unsupported HTTP method in CORS config. Unsupported method is PATCH",
    ),
    (
        [rule(allowed_methods=("get",))],
        "InvalidRequest",
        "Found unsupported HTTP method in CORS config. Unsupported method is get",
    ),
    (
        [rule(allowed_origins=("http://*.*",))],
        "InvalidRequest",
        'AllowedOrigin "http://*.*" can not have more than one wildcard.',
    ),
    (
        [rule(allowed_headers=("*-*",))],
        "InvalidRequest",
        'AllowedHeader "*-*" can not have more than one wildcard.',
    ),
    (
        [rule(expose_headers=("x-*",))],
        "InvalidRequest",
        'ExposeHeader "x-*" contains wildcard. We currently do not support wildcard for ExposeHeader.',
    ),
    ([rule(id="i" * 256)], "InvalidRequest", "The ID of a CORS rule has up to 255 characters."),
    ([rule(max_age_seconds=-1)], "InvalidRequest", "MaxAgeSeconds is a number of seconds, 0 to 2147483647."),
    (
        [rule(expose_headers=("a\nb",))],
        "InvalidRequest",
        "Origins, methods and headers of CORS rules are printable ASCII.",
    ),
    ([rule(allowed_headers=("x" * 65_536,))], "InvalidRequest", "The CORS configuration is limited to 64 KB in size."),
]  # fmt: skip


@pytest.mark.parametrize(("rules", "code", "message"), REFUSED, ids=range(len(REFUSED)))
def test_rules_that_s3_refuses(rules: list[CorsRule], code: str, message: str) -> None:
    with bleepstore.open() as store:
        store.create_bucket("photos")
        kept = (rule(),)
        store.put_bucket_cors("photos", kept)
        with pytest.raises(S3Error) as refused:
            store.put_bucket_cors("photos", rules)
        assert (refused.value.code, refused.value.message) == (code, message)
        assert store.get_bucket_cors("photos") == kept


def test_a_copy_of_the_store_has_the_rules(tmp_path: Any) -> None:
    rules = (
        rule(id="ü", allowed_headers=("*",), expose_headers=("ETag",), max_age_seconds=0),
        rule(allowed_origins=("*", "http://b")),
    )
    with bleepstore.open(tmp_path / "s") as store:
        store.create_bucket("photos")
        store.put_bucket_cors("photos", rules)
        with store.fork() as fork, fork.fork() as again:
            assert again.get_bucket_cors("photos") == rules
            again.delete_bucket_cors("photos")
            assert fork.get_bucket_cors("photos") == rules
    with bleepstore.open(tmp_path / "s") as store:
        assert store.get_bucket_cors("photos") == rules
        store.delete_bucket_cors("photos")
        with pytest.raises(NoSuchCors):
            store.get_bucket_cors("photos")

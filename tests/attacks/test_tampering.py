"""A signed request of which anything that its signature covers is changed on the way is refused, in every scheme."""

from __future__ import annotations

from collections.abc import Iterator

import attrs
import pytest

from tests.attacks.signing import DATA, SCHEMES, Sign, Signed, v4_chunks
from tests.server.conftest import ALICE, Server
from tests.server.tools import Wire, snapshot

FIELDS = {"x-amz-meta-a": "first value", "x-amz-storage-class": "STANDARD_IA", "Content-Type": "text/plain"}
TARGET = "/photos/new"
REFUSALS = {400, 403, 404, 405, 411, 501}
IN_URL = [name for name in SCHEMES if name.endswith("query")]
IN_HEADER = [name for name in SCHEMES if name not in IN_URL]
SIGNS_BODY = [name for name in IN_HEADER if name.startswith("version 4")]


@pytest.fixture(params=SCHEMES)
def sign(request: pytest.FixtureRequest) -> Sign:
    return SCHEMES[request.param]


def _of(names: list[str]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("sign", names, indirect=True)


def _other(character: str) -> str:
    """A character of the same kind, so that what is changed still parses."""
    if character.isdigit():
        return str((int(character) + 1) % 10)
    if character.isalpha():
        return "b" if character in "aA" else "a"
    return {"/": "_", "%": "5"}.get(character, "0")


def _changed(text: str) -> Iterator[str]:
    """`text` with each of its characters changed in turn."""
    for index, character in enumerate(text):
        yield text[:index] + _other(character) + text[index + 1 :]


def _headers_changed(signed: Signed) -> Iterator[Signed]:
    """Each value of a header that counts changed at its ends and in the middle, and each header taken away."""
    covered = ("authorization", "x-amz-", "content-type", "date")
    for name, value in signed.headers:
        if name.lower().startswith(covered):
            yield signed.with_header(name, None)
            for position in {0, len(value) // 2, len(value) - 1}:
                yield signed.with_header(name, value[:position] + _other(value[position]) + value[position + 1 :])


def _check_refused(server: Server, wire: Wire, attempts: Iterator[Signed]) -> int:
    before = snapshot(server.store)
    count = 0
    for attempt in attempts:
        answer = attempt.send(wire)
        assert answer.status in REFUSALS, (attempt, answer)
        count += 1
    assert snapshot(server.store) == before
    return count


def test_what_is_signed_right_is_taken(server: Server, prepared: Wire, sign: Sign) -> None:
    answer = sign(prepared, "PUT", TARGET, FIELDS).send(prepared)
    assert answer.status == 200, answer
    with server.store.get_object("photos", "new") as stored:
        assert stored.read() == DATA
        assert stored.version.metadata == {"a": "first value"}
        assert stored.version.storage_class == "STANDARD_IA"
        assert stored.version.system.content_type == "text/plain"


def test_another_request_is_refused(server: Server, prepared: Wire, sign: Sign) -> None:
    signed = sign(prepared, "PUT", TARGET, FIELDS)
    attempts = [attrs.evolve(signed, method=method) for method in ("DELETE", "POST", "GET", "HEAD")]
    target, _, query = signed.target.partition("?")
    for changed in _changed(target):
        attempts.append(attrs.evolve(signed, target=f"{changed}?{query}" if query else changed))
    for parameter in ("acl", "uploads", "uploadId=x&partNumber=1", "delete", "versionId=null", "tagging"):
        attempts.append(attrs.evolve(signed, target=f"{target}?{parameter}&{query}"))
    for name in ("x-amz-acl", "x-amz-meta-b", "x-amz-copy-source", "x-amz-grant-read", "x-amz-tagging"):
        attempts.append(signed.with_header(name, "/photos/kept"))
    attempts.append(attrs.evolve(signed, headers=(*signed.headers, ("x-amz-meta-a", "second"))))
    assert _check_refused(server, prepared, iter(attempts)) > 20


@_of(IN_URL)
def test_every_character_of_a_signed_url_counts(server: Server, prepared: Wire, sign: Sign) -> None:
    signed = sign(prepared, "PUT", TARGET, FIELDS)
    attempts = (attrs.evolve(signed, target=target) for target in _changed(signed.target))
    assert _check_refused(server, prepared, attempts) > 100


@_of(IN_HEADER)
def test_every_header_that_is_signed_counts(server: Server, prepared: Wire, sign: Sign) -> None:
    signed = sign(prepared, "PUT", TARGET, FIELDS)
    assert _check_refused(server, prepared, _headers_changed(signed)) > 10
    # Another word for the scheme's own name is no scheme, which is refused as well.
    attempts = (signed.with_header("Authorization", text) for text in _changed(dict(signed.headers)["Authorization"]))
    assert _check_refused(server, prepared, attempts) > 20


@_of(SIGNS_BODY)
def test_every_byte_of_a_signed_body_counts(server: Server, prepared: Wire, sign: Sign) -> None:
    signed = sign(prepared, "PUT", TARGET, FIELDS)
    framing = [index for index, byte in enumerate(signed.body) if byte not in b"\r\n"]
    attempts = (
        attrs.evolve(signed, body=signed.body[:index] + bytes([signed.body[index] ^ 1]) + signed.body[index + 1 :])
        for index in framing
    )
    assert _check_refused(server, prepared, attempts) >= len(DATA)
    cut = (attrs.evolve(signed, body=signed.body[:length]) for length in range(0, len(signed.body) - 4, 3))
    _check_refused(server, prepared, cut)


def test_signed_chunks_keep_their_order(server: Server, prepared: Wire) -> None:
    """A chunk that is left out, repeated or moved is no longer the one after that before it."""
    signed = v4_chunks(prepared, "PUT", TARGET, FIELDS, (b"x" * 8192, b"y" * 8192))
    first = signed.body.index(b"\r\n", 10 + signed.body.index(b"\r\n")) + 2
    second = signed.body.rindex(b"0;chunk-signature")
    one, two, last = signed.body[:first], signed.body[first:second], signed.body[second:]
    assert one + two + last == signed.body
    bodies = [one + last, two + last, last, two + one + last, one + one + last, one + two, one + two + two + last]
    _check_refused(server, prepared, (attrs.evolve(signed, body=body) for body in bodies))


def test_the_keys_of_one_do_not_open_what_another_has(server: Server, prepared: Wire, sign: Sign) -> None:
    """Bob's signature, right as it is, in Alice's name; and with his name, on what is hers."""
    bob = attrs.evolve(prepared, access_key="bob", secret_key="bob-secret")
    impostor = attrs.evolve(prepared, secret_key="bob-secret")
    nobody = attrs.evolve(prepared, access_key="nobody")
    server.store.put_credential("gone", "alice-secret", owner=ALICE)
    server.store.disable_credential("gone")
    gone = attrs.evolve(prepared, access_key="gone")
    attempts = [sign(wire, "PUT", TARGET, FIELDS) for wire in (bob, impostor, nobody, gone)]
    assert [attempt.send(prepared).code for attempt in attempts] == [
        "AccessDenied",
        "SignatureDoesNotMatch",
        "InvalidAccessKeyId",
        "InvalidAccessKeyId",
    ]


@pytest.mark.parametrize(
    "changed",
    [
        "\xa0first value",
        "first value\xa0",
        "\x85first value",
        "first\xa0value",
        "first  value\xa0",
        "\xe2\x80\x83first value",
    ],
)
def test_only_spaces_and_tabs_go_around_a_value(server: Server, prepared: Wire, sign: Sign, changed: str) -> None:
    """What Unicode calls a space is data: two values that are kept differently do not share a signature."""
    signed = sign(prepared, "PUT", TARGET, FIELDS)
    if any(name == "x-amz-meta-a" for name, _value in signed.headers):
        attempt = signed.with_header("x-amz-meta-a", changed)
    else:
        encoded = "".join(f"%{byte:02X}" for byte in changed.encode("latin-1" if "\xe2" in changed else "utf-8"))
        attempt = attrs.evolve(signed, target=signed.target.replace("first%20value", encoded))
        attempt = attempt if attempt.target != signed.target else signed.with_header("x-amz-meta-a", changed)
    _check_refused(server, prepared, iter([attempt]))


def test_spaces_around_a_value_in_a_url_are_none_of_it(server: Server, prepared: Wire) -> None:
    """Version 2 does not sign them: they are not kept either, or two requests would share a signature."""
    signed = SCHEMES["version 2 query"](prepared, "PUT", TARGET, FIELDS)
    padded = attrs.evolve(signed, target=signed.target.replace("first%20value", "%20first%20value%09"))
    assert padded.send(prepared).status == 200
    assert server.store.head_object("photos", "new").version.metadata == {"a": "first value"}


@_of(IN_HEADER)
def test_there_is_one_authorization(server: Server, prepared: Wire, sign: Sign) -> None:
    signed = sign(prepared, "PUT", TARGET, FIELDS)
    for value in (dict(signed.headers)["Authorization"], "other", "AWS bob:x"):
        twice = (*signed.headers, ("Authorization", value)), (("Authorization", value), *signed.headers)
        _check_refused(server, prepared, (attrs.evolve(signed, headers=headers) for headers in twice))


def test_a_digest_that_a_url_declares_is_that_of_the_body(server: Server, prepared: Wire) -> None:
    """However its name is written, and whatever a header, which is not signed, says beside it."""
    literal = "0" * 64
    for scheme in ("version 4 query", "version 2 query"):
        for name in ("X-Amz-Content-Sha256", "x-amz-content-sha256"):
            if scheme == "version 2 query":
                signed = SCHEMES[scheme](prepared, "PUT", TARGET, {**FIELDS, name: literal})
            else:
                signed = SCHEMES[scheme](prepared, "PUT", f"{TARGET}?{name}={literal}", FIELDS)
            unsigned = signed.with_header("x-amz-content-sha256", "UNSIGNED-PAYLOAD")
            _check_refused(server, prepared, iter([signed, unsigned]))

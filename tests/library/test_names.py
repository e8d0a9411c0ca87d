"""What buckets and keys may be called."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bleepstore import errors
from bleepstore.names import after_prefix, check_bucket_name, check_key


@pytest.mark.parametrize(
    "name", ["abc", "a" * 63, "my-bucket", "my.bucket.name", "0digit9", "1.2.3", "1.2.3.4.5", "a--b", "a-.b", "256.1.1"]
)
def test_legal_bucket_names(name: str) -> None:
    check_bucket_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "", "a", "ab", "a" * 64, "Upper", "under_score", "-start", "end-", ".start", "end.", "two..dots", "with space",
        "with/slash", "ünïcode", "192.168.5.4", "999.999.999.999", "xn--punycode", "sthree-x", "amzn-s3-demo-bucket",
        "name-s3alias", "name--ol-s3", "name.mrap", "name--x-s3", "name--table-s3", "name-an",
        "new\nline", "abc\n", "abc\x00",
    ],
)  # fmt: skip
def test_illegal_bucket_names(name: str) -> None:
    with pytest.raises(errors.InvalidBucketName) as refused:
        check_bucket_name(name)
    assert refused.value.bucket == name
    assert refused.value.reason


@pytest.mark.parametrize("key", ["a", "/", "..", "a//b", "\x01", "é" * 512, "😀" * 256, "x" * 1024, "a" * 257, " "])
def test_legal_keys(key: str) -> None:
    check_key(key)


@pytest.mark.parametrize(("key", "size"), [("x" * 1025, 1025), ("é" * 513, 1026), ("😀" * 257, 1028)])
def test_a_key_has_at_most_1024_bytes_of_utf_8(key: str, size: int) -> None:
    with pytest.raises(errors.KeyTooLong) as refused:
        check_key(key)
    assert (refused.value.size, refused.value.max_size_allowed) == (size, 1024)


def test_a_key_is_neither_empty_nor_half_a_character() -> None:
    with pytest.raises(errors.InvalidArgument):
        check_key("")
    with pytest.raises(errors.InvalidURI):
        check_key("a\ud800")


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)


@settings(derandomize=True)
@given(prefix=text, tail=text, other=text)
def test_after_prefix_is_the_least_string_behind_all_that_begin_with_it(prefix: str, tail: str, other: str) -> None:
    bound = after_prefix(prefix)
    if bound is None:
        assert set(prefix) <= {"\U0010ffff"}
        return
    assert (prefix + tail).encode() < bound.encode()
    if other.encode() >= prefix.encode() and not other.startswith(prefix):
        assert bound.encode() <= other.encode()


@pytest.mark.parametrize(
    ("prefix", "bound"),
    [
        ("a", "b"),
        ("a/", "a0"),
        ("", None),
        ("a\U0010ffff", "b"),
        ("\U0010ffff", None),
        ("\ud7ff", "\ue000"),
        ("\x00", "\x01"),
    ],
)
def test_known_bounds(prefix: str, bound: str | None) -> None:
    assert after_prefix(prefix) == bound

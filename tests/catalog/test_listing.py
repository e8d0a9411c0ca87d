"""Listings against a model that anybody can check by eye, and what a page costs."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bleepstore import commands as c
from bleepstore.catalog.sqlite import Catalog
from bleepstore.model import Inline
from bleepstore.pages import ObjectPage, UploadPage
from tests.catalog.conftest import ALICE, Applier

#: Few letters, so that prefixes and delimiters meet keys; the odd ones are the edges of UTF-8 and of its order.
ALPHABET = ["a", "b", "/", "-", "%", "\x00", "\x7f", "é", "\ud7ff", "\ue000", "\uffff", "\U00010000", "\U0010ffff"]
words = st.lists(st.sampled_from(ALPHABET), max_size=5).map("".join)
key_sets = st.sets(words.filter(bool), max_size=25)


def model(
    keys: Sequence[str], prefix: str, delimiter: str, after: str, limit: int, start_after: str = ""
) -> tuple[list[str], list[str], str | None]:
    """(keys, common prefixes, where to go on) of a page: drop the keys that were seen, roll up, sort, cut."""
    entries: dict[str, bool] = {}
    for key in keys:
        if not key.startswith(prefix) or key.encode() <= (after or start_after).encode():
            continue
        at = key.find(delimiter, len(prefix)) if delimiter else -1
        entry = key if at < 0 else key[: at + len(delimiter)]
        if at < 0 or entry != after:
            entries[entry] = at >= 0
    wanted = sorted(entries, key=str.encode)
    page = wanted[:limit]
    more = page[-1] if page and len(wanted) > limit else None
    return [e for e in page if not entries[e]], [e for e in page if entries[e]], more


def fill(keys: Sequence[str]) -> Catalog:
    catalog = Catalog(None)
    apply = Applier(catalog)
    apply.create_bucket("photos")
    apply.create_bucket("other")  # what is in the next bucket must never show
    fields = {"owner": ALICE, "size": 0, "etag": "e", "data": Inline(b"")}
    catalog.apply(
        [
            c.PutObject(**apply.stamp(), bucket=bucket, key=key, **fields)  # type: ignore[arg-type]  # as above
            for bucket, key in itertools.chain((("photos", k) for k in keys), (("other", k + "x") for k in keys))
        ]
    )
    return catalog


def page(catalog: Catalog, prefix: str, delimiter: str, after: str, limit: int, start_after: str = "") -> ObjectPage:
    with catalog.read() as reader:
        return reader.list_objects("photos", prefix, delimiter, after, limit, start_after)


@settings(max_examples=300, derandomize=True, deadline=None)
@given(keys=key_sets, prefix=words, delimiter=words, after=words, limit=st.integers(0, 8))
def test_a_page_is_that_of_the_model(keys: set[str], prefix: str, delimiter: str, after: str, limit: int) -> None:
    catalog = fill(sorted(keys))
    try:
        candidates: list[Any] = [("", "", "", 1000), (prefix, delimiter, after, limit)]
        for key in itertools.islice(sorted(keys), 4):  # markers and prefixes that are keys meet more edges
            candidates += [(prefix, delimiter, key, limit), (key[:2], "/", key, 3), (key, delimiter, after, limit)]
            candidates += [(prefix, "/", key[:cut], limit) for cut in range(1, len(key))]
        for by_prefix, by_delimiter, marker, size in [*candidates]:
            candidates.append((by_prefix, by_delimiter, "", size, marker))
            candidates.append((by_prefix, by_delimiter, after, size, marker))
        for wanted in candidates:
            found = page(catalog, *wanted)
            assert ([o.key for o in found.objects], found.common_prefixes, found.next_key) == model(
                sorted(keys), *wanted
            ), wanted
    finally:
        catalog.close()


@settings(max_examples=100, derandomize=True, deadline=None)
@given(keys=key_sets, prefix=words, delimiter=words, limit=st.integers(1, 5))
def test_pages_one_after_another_show_everything_once(keys: set[str], prefix: str, delimiter: str, limit: int) -> None:
    catalog = fill(sorted(keys))
    try:
        seen: list[str] = []
        after: str | None = ""
        while after is not None:
            found = page(catalog, prefix, delimiter, after, limit)
            entries = sorted([*(o.key for o in found.objects), *found.common_prefixes], key=str.encode)
            assert len(entries) <= limit
            assert after == "" or entries, "a page that continues is not empty"
            seen += entries
            after = found.next_key
        whole = model(sorted(keys), prefix, delimiter, "", 1000)
        assert seen == sorted([*whole[0], *whole[1]], key=str.encode)
    finally:
        catalog.close()


def test_a_key_to_start_after_does_not_hide_the_common_prefix_that_it_is_in() -> None:
    catalog = fill(["a/a", "a/c", "b/", "c"])
    try:
        for start_after, prefixes in (
            ("a", ["a/", "b/"]),
            ("a/", ["a/", "b/"]),
            ("a/b", ["a/", "b/"]),
            ("a/c", ["b/"]),
            ("b/", []),
        ):
            assert page(catalog, "", "/", "", 10, start_after).common_prefixes == prefixes, start_after
        assert page(catalog, "", "/", "a/", 10).common_prefixes == ["b/"], "an entry of an earlier page"
        assert page(catalog, "", "/", "a/b", 10).common_prefixes == ["a/", "b/"], "no entry of an earlier page"
    finally:
        catalog.close()


# -- uploads


def list_uploads(catalog: Catalog, after_key: str = "", after_id: str = "", limit: int = 1000, **by: str) -> UploadPage:
    with catalog.read() as reader:
        return reader.list_uploads(
            "photos",
            by.get("prefix", ""),
            by.get("delimiter", ""),
            after_key,
            after_id,
            limit,
        )


@settings(max_examples=100, derandomize=True, deadline=None)
@given(keys=st.lists(words.filter(bool), max_size=12), prefix=words, delimiter=words, limit=st.integers(1, 4))
def test_pages_of_uploads_show_everything_once(keys: list[str], prefix: str, delimiter: str, limit: int) -> None:
    catalog = Catalog(None)
    try:
        apply = Applier(catalog)
        apply.create_bucket("photos")
        for number, key in enumerate(keys):  # the same key may have several uploads
            apply.create_upload("photos", key, f"u{number:03d}")
        expected: list[tuple[str, str]] = []
        prefixes: set[str] = set()
        for number, key in enumerate(keys):
            at = key.find(delimiter, len(prefix)) if delimiter else -1
            if key.startswith(prefix):
                if at >= 0:
                    prefixes.add(key[: at + len(delimiter)])
                else:
                    expected.append((key, f"u{number:03d}"))
        seen: list[tuple[str, str]] = []
        seen_prefixes: list[str] = []
        after_key, after_id = "", ""
        while True:
            found = list_uploads(catalog, after_key, after_id, limit, prefix=prefix, delimiter=delimiter)
            assert len(found.uploads) + len(found.common_prefixes) <= limit
            seen += [(upload.key, upload.upload_id) for upload in found.uploads]
            seen_prefixes += found.common_prefixes
            if found.next_key is None:
                break
            after_key, after_id = found.next_key, found.next_upload_id or ""
        assert seen == sorted(expected, key=lambda pair: (pair[0].encode(), pair[1]))
        assert seen_prefixes == sorted(prefixes, key=str.encode)
    finally:
        catalog.close()


# -- cost


def big_catalog(path: Path, count: int) -> Catalog:
    """`count` keys below `big/`, and a few beside it, written past the commands: only the rows matter here."""
    catalog = Catalog(path)
    apply = Applier(catalog)
    apply.create_bucket("photos")
    for key in ("a", "z", "zz/1"):
        apply.put("photos", key)
    connection = apsw.Connection(str(path))
    with connection:
        connection.executemany(
            "INSERT INTO object_version (bucket_id, key, sequence, version_id, noncurrent, is_delete_marker, "
            "modified_ms, etag, size, owner_id) "
            "VALUES (1, ?, ?, 'null', 0, 0, 1, 'd41d8cd98f00b204e9800998ecf8427e', 0, 'alice')",
            _rows(count),
        )
    connection.close()
    return catalog


def _rows(count: int) -> Iterator[tuple[str, int]]:
    return ((f"big/{number:07d}/{'x' * 20}", -1000 - number) for number in range(count))


class Steps:
    """Counts the steps of SQLite's virtual machine, in units of ten."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self.count = 0

    def __enter__(self) -> Steps:
        self._connection.set_progress_handler(self._step, 10)
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.set_progress_handler(None)

    def _step(self) -> bool:
        self.count += 1
        return False


def steps_of(catalog: Catalog, prefix: str, delimiter: str, after: str, limit: int) -> tuple[ObjectPage, int]:
    with catalog.read() as reader, Steps(reader.connection) as steps:
        return reader.list_objects("photos", prefix, delimiter, after, limit), steps.count


def check_cost(tmp_path: Path, count: int) -> None:
    small, big = big_catalog(tmp_path / "small.db", 30), big_catalog(tmp_path / "big.db", count)
    try:
        for wanted in [
            ("", "/", "", 1000),
            ("", "/", "a", 1000),
            ("b", "/", "", 1000),
            ("", "/", "big/", 1000),
            ("", "/", "big/0000015", 1000),
            ("", "big", "", 1000),
            ("big/", "/", "", 10),
            ("big/", "", "", 10),
            ("big/0000007", "/", "", 10),
            ("zz", "", "", 10),
        ]:
            (expected, few), (found, many) = steps_of(small, *wanted), steps_of(big, *wanted)
            # Of some pages more follows in the big bucket; the entries are the same in any case.
            assert found.common_prefixes == expected.common_prefixes, wanted
            assert [o.key for o in found.objects] == [o.key for o in expected.objects], wanted
            assert many <= 2 * few + 20, f"{wanted}: {few} steps in a small bucket, {many} in one of {count} keys"
    finally:
        small.close()
        big.close()


def test_a_page_costs_what_a_page_of_a_small_bucket_costs(tmp_path: Path) -> None:
    check_cost(tmp_path, 50_000)


@pytest.mark.slow
def test_a_page_of_a_bucket_of_a_million_keys_costs_no_more(tmp_path: Path) -> None:
    check_cost(tmp_path, 1_000_000)


def queries_of(keys: Sequence[str], limit: int) -> int:
    """How many queries a page with a delimiter takes."""
    catalog = fill(keys)
    asked: list[str] = []

    def note(_cursor: apsw.Cursor, sql: str, _bindings: apsw.Bindings | None) -> bool:
        asked.append(sql)
        return True

    try:
        with catalog.read() as reader:
            reader.connection.exec_trace = note
            found = reader.list_objects("photos", "", "/", "", limit)
            reader.connection.exec_trace = None
            assert (found.common_prefixes, found.next_key) == model(keys, "", "/", "", limit)[1:]
    finally:
        catalog.close()
    return len(asked)


def test_common_prefixes_that_follow_each_other_are_found_by_one_query() -> None:
    folders = [f"folder-{number:03}/{name}" for number in range(200) for name in "ab"]
    assert queries_of(folders, 1000) == 2, "the first one, and all others"
    assert queries_of(folders, 50) == 3, "and whether there is more"
    assert queries_of([*folders, "folder-099"], 1000) <= 5


def test_a_common_prefix_between_two_objects_costs_one_query() -> None:
    mixed = sorted(key for number in range(50) for key in (f"{number:03}", f"{number:03}/a"))
    assert queries_of(mixed, 1000) == 51


def test_the_measure_of_steps_can_tell(tmp_path: Path) -> None:
    """A listing that walked through the common prefix would be seen by the measure above."""
    catalog = big_catalog(tmp_path / "big.db", 5_000)
    try:
        with catalog.read() as reader, Steps(reader.connection) as steps:
            reader.connection.execute(
                "SELECT count(*) FROM object_version WHERE bucket_id = 1 AND key >= 'big/'"
            ).fetchall()
        _page, few = steps_of(catalog, "", "/", "", 1000)
        assert steps.count > 20 * few
    finally:
        catalog.close()


def test_an_acl_is_private_unless_stored(apply: Applier, catalog: Catalog) -> None:
    apply.put("photos", "k")
    columns = "grants, metadata, system, storage_class, parts"
    assert apply.rows(f"SELECT {columns} FROM object_version") == [(None,) * 5]

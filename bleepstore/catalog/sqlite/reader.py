"""The questions that the catalog answers, as statements, and readers that ask them for the length of a `with` block:
from a pool of connections to a file, or the one that a catalog in memory has."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import apsw

from bleepstore.catalog.pages import Row, first_key, roll_up
from bleepstore.catalog.records import CompletedUpload, FoundObject, Garbage, ObjectSince, ProtectedVersion
from bleepstore.catalog.sqlite.ages import AgeQueries
from bleepstore.catalog.sqlite.connection import map_file, open_reader
from bleepstore.catalog.sqlite.contents import ContentQueries
from bleepstore.catalog.sqlite.outbox import OutboxQueries
from bleepstore.catalog.sqlite.quotas import QuotaQueries
from bleepstore.catalog.sqlite.rates import RateQueries
from bleepstore.catalog.sqlite.refusals import classify
from bleepstore.catalog.sqlite.replication import ReplicationQueries
from bleepstore.catalog.sqlite.rows import (
    BUCKET_COLUMNS,
    BY_VERSION_ID,
    CREDENTIALS,
    FIND_USER,
    FOUND_COLUMNS,
    PART_COLUMNS,
    UPLOAD_COLUMNS,
    UPLOAD_OWNERS,
    USERS,
    VERSION_BY_ID,
    load_parts,
    make_bucket,
    make_credential,
    make_found,
    make_part,
    make_protected,
    make_upload,
    make_user,
)
from bleepstore.catalog.sqlite.shared import Life
from bleepstore.model import (
    NULL_VERSION,
    STANDARD,
    Bucket,
    Credential,
    ObjectVersion,
    Owner,
    Part,
    PartSummary,
    Upload,
    UploadToken,
    User,
)
from bleepstore.names import after_prefix, check_type
from bleepstore.pages import ObjectPage, UploadPage, VersionPage
from bleepstore.roles import Role

_BUCKET = f"SELECT {BUCKET_COLUMNS} FROM bucket b LEFT JOIN owner bo ON bo.owner_id = b.owner_id"
_ONE_BUCKET = f"{_BUCKET} WHERE b.name = ?"
_VERSIONS = "FROM bucket b CROSS JOIN object_version o {} ON o.bucket_id = b.bucket_id"
_FROM, _FROM_BY_ID = _VERSIONS.format(""), _VERSIONS.format(BY_VERSION_ID)
_OWNER = "LEFT JOIN owner oo ON oo.owner_id = o.owner_id"
_DATA = "LEFT JOIN inline_data d ON d.inline_id = o.inline_id"
_HEAD_COLUMNS = f"SELECT {FOUND_COLUMNS}, NULL"
_GET_COLUMNS = f"SELECT {FOUND_COLUMNS}, d.data"
_OBJECT = "WHERE b.name = ? AND o.noncurrent = 0 AND o.key = ?"
_VERSION = f"WHERE b.name = ? AND o.key = ? AND {VERSION_BY_ID}"
_HEAD = f"{_HEAD_COLUMNS} {_FROM} {_OWNER} {_OBJECT}"
_GET = f"{_GET_COLUMNS} {_FROM} {_OWNER} {_DATA} {_OBJECT}"
_HEAD_VERSION = f"{_HEAD_COLUMNS} {_FROM_BY_ID} {_OWNER} {_VERSION}"
_GET_VERSION = f"{_GET_COLUMNS} {_FROM_BY_ID} {_OWNER} {_DATA} {_VERSION}"
_HEAD_NEWEST_OTHER = (
    f"{_HEAD_COLUMNS} {_FROM} {_OWNER} WHERE b.name = ? AND o.noncurrent = 1 AND o.key = ? ORDER BY o.sequence LIMIT 1"
)
_OBJECT_PARTS = f"SELECT o.parts {_FROM} {_OBJECT} AND o.version_id = ?"
_VERSION_PARTS = f"SELECT o.parts {_FROM_BY_ID} {_VERSION}"
_SEQUENCE = f"SELECT o.sequence {_FROM} {_OBJECT} AND o.version_id = ?"
_SEQUENCE_BY_ID = f"SELECT o.sequence {_FROM_BY_ID} {_VERSION}"
_OBJECT_SINCE = (
    "SELECT o.etag, -o.sequence IS NOT u.replaced_sequence FROM bucket b "
    "JOIN upload u ON u.bucket_id = b.bucket_id AND u.key = ?2 AND u.upload_id = ?3 "
    "LEFT JOIN object_version o ON o.bucket_id = b.bucket_id AND o.key = ?2 AND o.noncurrent = 0 "
    "WHERE b.name = ?1"
)
_BUCKET_ID = "(SELECT bucket_id FROM bucket WHERE name = ?)"
_LISTED = (  # the fields of ListedObject
    f"SELECT key, modified_ms, etag, size, ifnull(storage_class, '{STANDARD}'), owner_id, checksum_algorithm, "
    "checksum_type "
    f"FROM object_version WHERE bucket_id = {_BUCKET_ID} AND noncurrent = 0"
)
_FIRST_KEY = (
    "SELECT o.key FROM object_version o WHERE o.bucket_id = (SELECT bucket_id FROM bucket WHERE name = :bucket) "
    "AND o.noncurrent = 0 AND o.key >= {start} AND o.key < ifnull(:upper, x'') ORDER BY o.key LIMIT 1"
)
#: Bytes: SQLite's substr of a text ends at a NUL, which a key may have. No text is greater than the empty blob.
_TAIL = "substr(CAST(l.key AS BLOB), :skipped + 1)"
_BEHIND = f"CAST(substr(CAST(l.key AS BLOB), 1, :skipped + instr({_TAIL}, :delimiter) - 1) || :beyond AS TEXT)"
_LEAP = (
    f"WITH RECURSIVE l(key) AS (SELECT ({_FIRST_KEY.format(start=':start')}) UNION ALL "
    f"SELECT ({_FIRST_KEY.format(start=_BEHIND)}) FROM l WHERE instr({_TAIL}, :delimiter) > 0) "
    "SELECT key FROM l WHERE key IS NOT NULL"
)
_LISTED_VERSION = (
    f"SELECT key, sequence, version_id, is_delete_marker, modified_ms, etag, size, "
    f"ifnull(storage_class, '{STANDARD}'), owner_id, checksum_algorithm, checksum_type FROM object_version "
    "WHERE bucket_id = (SELECT bucket_id FROM bucket WHERE name = :bucket)"
)
_UPLOAD = (
    f"SELECT {UPLOAD_COLUMNS} FROM bucket b JOIN upload u ON u.bucket_id = b.bucket_id {UPLOAD_OWNERS} "
    "WHERE b.name = ? AND u.key = ? AND u.upload_id = ?"
)
_LISTED_UPLOADS = f"SELECT {UPLOAD_COLUMNS} FROM upload u {UPLOAD_OWNERS} WHERE u.bucket_id = {_BUCKET_ID}"
_EXPIRED = (
    f"SELECT b.name, {UPLOAD_COLUMNS} FROM upload u JOIN bucket b ON b.bucket_id = u.bucket_id {UPLOAD_OWNERS} "
    "WHERE u.initiated_ms < ? ORDER BY u.initiated_ms, u.upload_id LIMIT ?"
)
_COMPLETED = (
    "SELECT c.etag, c.completed_ms, c.version_id FROM bucket b JOIN completed_upload c ON c.bucket_id = b.bucket_id "
    "WHERE b.name = ? AND c.key = ? AND c.upload_id = ?"
)
_PARTS = f"SELECT {PART_COLUMNS} FROM part WHERE upload_id = ? AND number > ? ORDER BY number LIMIT ?"
_ROLE = (
    "SELECT r.name, r.role_id, r.account_id, o.display_name, r.trust_policy, r.policies, r.max_session_seconds, "
    "r.created_ms FROM role r LEFT JOIN owner o ON o.owner_id = r.account_id"
)
_REFERENCED = (
    "SELECT EXISTS (SELECT 1 FROM object_version WHERE handle = ?1) "
    "OR EXISTS (SELECT 1 FROM part WHERE handle = ?1) OR EXISTS (SELECT 1 FROM garbage WHERE handle = ?1)"
)
_TOKEN_REFERENCED = "SELECT EXISTS (SELECT 1 FROM upload WHERE backend_token = ?)"


def _make_role(row: Row) -> Role:
    name, role_id, account_id, display_name, trust_policy, policies, max_session_seconds, created_ms = row
    return Role(
        name=name,
        id=role_id,
        account=Owner(account_id, display_name or ""),
        trust_policy=trust_policy,
        policies=json.loads(policies),
        max_session_seconds=max_session_seconds,
        created_ms=created_ms,
    )


_PROTECTED = (
    "SELECT b.name, o.key, o.version_id, o.retention, o.legal_hold FROM bucket_setting s "
    "JOIN bucket b ON b.bucket_id = s.bucket_id JOIN object_version o ON o.bucket_id = b.bucket_id "
    "WHERE s.name = 'object_lock' AND (o.retention IS NOT NULL OR o.legal_hold = 'true') "
    "ORDER BY b.name, o.key, o.sequence"
)
MAX_IDLE_READERS = 64
#: A reader maps the file once no commit has come between so many of its reads.
QUIET_READS = 256


class Reader(ContentQueries, AgeQueries, QuotaQueries, RateQueries, OutboxQueries, ReplicationQueries):
    """A connection and the questions that can be asked on it: see `bleepstore.catalog.port.CatalogReader`."""

    def __init__(self, connection: apsw.Connection) -> None:
        self.connection = connection

    def applied_index(self) -> int:
        index: int = self.connection.execute("SELECT applied_index FROM state").get
        return index

    # -- buckets

    def find_bucket(self, bucket: str) -> Bucket | None:
        if type(bucket) is not str:
            check_type("bucket", bucket)
        row = self.connection.execute(_ONE_BUCKET, (bucket,)).fetchone()
        return None if row is None else make_bucket(row)

    def list_buckets(
        self, owner_id: str | None, prefix: str, locations: Collection[str] | None, after: str, limit: int
    ) -> list[Bucket]:
        where = ["b.name > ?", "b.name >= ?"]
        bindings: list[Any] = [after, prefix]
        if (upper := after_prefix(prefix)) is not None:
            where.append("b.name < ?")
            bindings.append(upper)
        if owner_id is not None:
            where.append("b.owner_id = ?")
            bindings.append(owner_id)
        if locations is not None:
            where.append(f"b.location IN ({', '.join('?' * len(locations))})")
            bindings.extend(sorted(locations))
        sql = f"{_BUCKET} WHERE {' AND '.join(where)} ORDER BY b.name LIMIT ?"
        return [make_bucket(row) for row in self.connection.execute(sql, (*bindings, limit))]

    # -- objects

    def find_object(self, bucket: str, key: str, *, with_data: bool) -> FoundObject | None:
        if type(key) is not str:
            check_type("key", key)
        row = self.connection.execute(_GET if with_data else _HEAD, (bucket, key)).fetchone()
        return None if row is None else make_found(bucket, key, row)

    def find_version(self, bucket: str, key: str, version_id: str, *, with_data: bool) -> FoundObject | None:
        if version_id == NULL_VERSION:
            current = self.find_object(bucket, key, with_data=with_data)
            if current is not None and current.version.version_id == NULL_VERSION:
                return current
        bindings = (bucket, key, version_id)
        row = self.connection.execute(_GET_VERSION if with_data else _HEAD_VERSION, bindings).fetchone()
        return None if row is None else make_found(bucket, key, row)

    def latest_version(self, bucket: str, key: str) -> FoundObject | None:
        row = self.connection.execute(_HEAD, (bucket, key)).fetchone()
        if row is None:
            row = self.connection.execute(_HEAD_NEWEST_OTHER, (bucket, key)).fetchone()
        return None if row is None else make_found(bucket, key, row)

    def protected_versions(self) -> list[ProtectedVersion]:
        rows = self.connection.execute(_PROTECTED).fetchall()
        return [make_protected(row) for row in rows]

    def object_parts(self, version: ObjectVersion) -> tuple[PartSummary, ...]:
        return load_parts(
            self._ask_version(version.bucket, version.key, version.version_id, _OBJECT_PARTS, _VERSION_PARTS)
        )

    def _ask_version(self, bucket: str, key: str, version_id: str, of_current: str, by_id: str) -> Any:
        """What a query says of a version, for which there is one that looks at the current version and another that
        looks for an id."""
        bindings = (bucket, key, version_id)
        if version_id == NULL_VERSION and (row := self.connection.execute(of_current, bindings).fetchone()) is not None:
            return row[0]
        return self.connection.execute(by_id, bindings).get

    def list_objects(
        self, bucket: str, prefix: str, delimiter: str, after: str, limit: int, start_after: str = ""
    ) -> ObjectPage:
        first = first_key(after, start_after, prefix, delimiter)
        if limit == 0 or first is None:
            return ObjectPage(rows=[], common_prefixes=[], next_key=None)
        upper = after_prefix(prefix)
        below = "" if upper is None else " AND key < ?"
        bound = () if upper is None else (upper,)

        def scan(start: str, inclusive: bool = True) -> Iterable[Row]:
            sql = f"{_LISTED} AND key {'>=' if inclusive else '>'} ?{below} ORDER BY key LIMIT ?"
            return self.connection.execute(sql, (bucket, start, *bound, limit + 1))

        if not delimiter:
            rows = list(scan(*first))
            more = len(rows) > limit
            return ObjectPage(rows=rows[:limit], common_prefixes=[], next_key=rows[limit - 1][0] if more else None)
        leap = self._leap(bucket, prefix, delimiter, upper)
        found, prefixes, last = roll_up(scan(*first), scan, prefix, delimiter, limit, leap)
        return ObjectPage(rows=found, common_prefixes=prefixes, next_key=last)

    def _leap(
        self, bucket: str, prefix: str, delimiter: str, upper: str | None
    ) -> Callable[[str], Iterable[Row]] | None:
        """What `roll_up` asks for the first keys of common prefixes; None: nothing follows a delimiter."""
        beyond = after_prefix(delimiter)
        if beyond is None:
            return None
        bindings: dict[str, Any] = {"bucket": bucket, "upper": upper, "skipped": len(prefix.encode())}
        bindings |= {"delimiter": delimiter.encode(), "beyond": beyond.encode()}
        execute = self.connection.execute
        return lambda start: execute(_LEAP, {**bindings, "start": start})

    def list_versions(
        self, bucket: str, prefix: str, delimiter: str, after_key: str, after_version_id: str, limit: int
    ) -> VersionPage:
        begin = first_key(after_key, "", prefix, delimiter)
        if limit == 0 or begin is None:
            return VersionPage(rows=[], common_prefixes=[], next_key=None, next_version_id=None)
        upper = after_prefix(prefix)
        below = "" if upper is None else " AND key < :upper"

        def scan(key: str, where: str, sequence: int = 0) -> Iterable[Row]:
            # Two ranges of one order, which SQLite merges as it reads them.
            ranges = [f"{_LISTED_VERSION} AND noncurrent = {number} AND {where}{below}" for number in (0, 1)]
            sql = f"{ranges[0]} UNION ALL {ranges[1]} ORDER BY key, sequence LIMIT :limit"
            bindings = {"bucket": bucket, "key": key, "sequence": sequence, "upper": upper, "limit": limit + 1}
            return self.connection.execute(sql, bindings)

        start, inclusive = begin
        sequence = None
        if after_version_id and start == after_key and not inclusive:
            sequence = self._ask_version(bucket, start, after_version_id, _SEQUENCE, _SEQUENCE_BY_ID)
            inclusive = sequence is None  # it is gone
        if sequence is not None:
            first = scan(start, "(key, sequence) > (:key, :sequence)", sequence)
        else:
            first = scan(start, "key >= :key" if inclusive else "key > :key")
        found, prefixes, last = roll_up(first, lambda key: scan(key, "key >= :key"), prefix, delimiter, limit)
        seen = None if sequence is None else start
        rows: list[Row] = []  # the fields of ListedVersion
        for key, _sequence, version_id, is_delete_marker, *others in found:
            rows.append((key, version_id, key != seen, is_delete_marker == 1, *others))
            seen = key
        last_id = rows[-1][1] if rows and rows[-1][0] == last else None
        return VersionPage(rows=rows, common_prefixes=prefixes, next_key=last, next_version_id=last_id)

    # -- uploads

    def find_upload(self, bucket: str, key: str, upload_id: str) -> Upload | None:
        row = self.connection.execute(_UPLOAD, (bucket, key, upload_id)).fetchone()
        return None if row is None else make_upload(bucket, row)

    def object_since(self, bucket: str, key: str, upload_id: str) -> ObjectSince:
        row = self.connection.execute(_OBJECT_SINCE, (bucket, key, upload_id)).fetchone()
        return ObjectSince(None, False) if row is None else ObjectSince(row[0], bool(row[1]))

    def find_completed(self, bucket: str, key: str, upload_id: str) -> CompletedUpload | None:
        row = self.connection.execute(_COMPLETED, (bucket, key, upload_id)).fetchone()
        return None if row is None else CompletedUpload._make(row)

    def list_parts(self, upload_id: str, after: int, limit: int) -> list[Part]:
        return [make_part(row) for row in self.connection.execute(_PARTS, (upload_id, after, limit))]

    def list_uploads(
        self, bucket: str, prefix: str, delimiter: str, after_key: str, after_upload_id: str, limit: int
    ) -> UploadPage:
        begin = first_key(after_key, "", prefix, delimiter)
        if limit == 0 or begin is None:
            return UploadPage(uploads=[], common_prefixes=[], next_key=None, next_upload_id=None)
        upper = after_prefix(prefix)
        below = "" if upper is None else " AND u.key < ?"
        bound = () if upper is None else (upper,)

        def scan(where: str, *start: str) -> Iterable[Row]:
            sql = f"{_LISTED_UPLOADS} AND {where}{below} ORDER BY u.key, u.upload_id LIMIT ?"
            return self.connection.execute(sql, (bucket, *start, *bound, limit + 1))

        start, inclusive = begin
        if after_upload_id and start == after_key and not inclusive:
            first = scan("(u.key, u.upload_id) > (?, ?)", after_key, after_upload_id)
        else:
            first = scan(f"u.key {'>=' if inclusive else '>'} ?", start)
        rows, prefixes, last = roll_up(first, lambda key: scan("u.key >= ?", key), prefix, delimiter, limit)
        uploads = [make_upload(bucket, row) for row in rows]
        last_id = uploads[-1].upload_id if last is not None and uploads and uploads[-1].key == last else None
        return UploadPage(uploads=uploads, common_prefixes=prefixes, next_key=last, next_upload_id=last_id)

    def expired_uploads(self, before_ms: int, limit: int) -> list[Upload]:
        return [make_upload(row[0], row[1:]) for row in self.connection.execute(_EXPIRED, (before_ms, limit))]

    # -- accounts

    def find_credential(self, access_key: str) -> Credential | None:
        row = self.connection.execute(f"{CREDENTIALS} WHERE c.access_key = ?", (access_key,)).fetchone()
        return None if row is None else make_credential(row)

    def list_credentials(self) -> list[Credential]:
        return [make_credential(row) for row in self.connection.execute(f"{CREDENTIALS} ORDER BY c.access_key")]

    def find_user(self, account_id: str, name: str) -> User | None:
        row = self.connection.execute(FIND_USER, (account_id, name)).fetchone()
        return None if row is None else make_user(row)

    def list_users(self) -> list[User]:
        return [make_user(row) for row in self.connection.execute(f"{USERS} ORDER BY u.account_id, u.name")]

    def owner_by_email(self, email: str) -> Owner | None:
        sql = f"{CREDENTIALS} WHERE c.email = ? COLLATE NOCASE ORDER BY c.access_key LIMIT 1"
        row = self.connection.execute(sql, (email,)).fetchone()
        return None if row is None else make_credential(row).owner

    def find_owner(self, owner_id: str) -> Owner | None:
        sql = "SELECT owner_id, display_name FROM owner WHERE owner_id = ?"
        row = self.connection.execute(sql, (owner_id,)).fetchone()
        return None if row is None else Owner(*row)

    # -- roles and sessions

    def find_role(self, account_id: str, name: str) -> Role | None:
        sql = f"{_ROLE} WHERE r.account_id = ? AND r.name = ?"
        row = self.connection.execute(sql, (account_id, name)).fetchone()
        return None if row is None else _make_role(row)

    def list_roles(self) -> list[Role]:
        return [_make_role(row) for row in self.connection.execute(f"{_ROLE} ORDER BY r.account_id, r.name")]

    def session_key(self) -> tuple[str, str | None] | None:
        row = self.connection.execute("SELECT key, sealed_by FROM session_key").fetchone()
        return None if row is None else (row[0], row[1])

    def revoked_until(self, principals: Collection[str]) -> int:
        marks = ", ".join("?" * len(principals))
        sql = f"SELECT max(until_ms) FROM revocation WHERE principal IN ({marks})"
        return self.connection.execute(sql, tuple(principals)).get or 0

    # -- what the jobs ask

    def list_garbage(self, limit: int, after: int = 0) -> list[Garbage]:
        sql = "SELECT garbage_id, handle, token FROM garbage WHERE garbage_id > ? ORDER BY garbage_id LIMIT ?"
        rows = self.connection.execute(sql, (after, limit))
        return [Garbage(number, handle, None if text is None else UploadToken(text)) for number, handle, text in rows]

    def is_garbage(self, handle: str) -> bool:
        return bool(self.connection.execute("SELECT EXISTS (SELECT 1 FROM garbage WHERE handle = ?)", (handle,)).get)

    def is_referenced(self, stored: str | UploadToken) -> bool:
        if isinstance(stored, UploadToken):
            return bool(self.connection.execute(_TOKEN_REFERENCED, (stored.text,)).get)
        return bool(self.connection.execute(_REFERENCED, (stored,)).get)

    def sweep_times(self) -> tuple[int, int]:
        row = self.connection.execute("SELECT sweep_begun_ms, sweep_ended_ms FROM state").fetchone()
        assert row is not None
        return row[0], row[1]

    # -- of this implementation alone

    def catalog_id(self) -> str:
        """Which catalog this is; "" if none has asked for its id."""
        return self.connection.execute("SELECT id FROM identity").get or ""

    def soundness(self) -> str:
        """ "ok", or what a quick look finds wrong in the file, in SQLite's words."""
        return str(self.connection.pragma("quick_check"))

    def damages(self) -> list[str]:
        """What SQLite finds wrong in the catalog's file, in its words; the first twenty."""
        return [text for (text,) in self.connection.execute("PRAGMA integrity_check(20)") if text != "ok"]


class PooledReader(Reader):
    """A reader of a pool, which it goes back to at the end of its `with` block."""

    def __init__(self, connection: apsw.Connection, pool: ReaderPool, path: Path | None) -> None:
        super().__init__(connection)
        self._pool = pool
        self.path = path
        self.reads_left = QUIET_READS
        self._maps = False
        self._version: int | None = None

    def look_for_commits(self) -> None:
        """Map the file if none has come since the last look, and do not otherwise. Call it at the end of `reads_left`,
        while no statement runs."""
        self.reads_left = QUIET_READS
        version = self.connection.data_version()
        maps = version == self._version
        self._version = version
        if maps is not self._maps:
            map_file(self.connection, maps)
            self._maps = maps

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        # Asked before the connection is another's.
        refusal = classify(error, self.connection) if isinstance(error, apsw.Error) else None
        pool = self._pool
        if self.path is pool.path and len(pool.idle) < MAX_IDLE_READERS:
            pool.idle.append(self)
        else:
            self.connection.close()
        if refusal is not None and refusal is not error:
            raise refusal from error


class ReaderPool:
    """Readers of the file `path`. Those that nobody uses are kept in `idle`."""

    def __init__(self, path: Path, life: Life, *, read_only: bool) -> None:
        self.path: Path | None = path  # None: closed. Readers of another file are closed when they come back.
        self.idle: deque[PooledReader] = deque()
        self._life = life
        self._read_only = read_only

    def read(self) -> PooledReader:
        """A reader for the caller alone, in a `with` block. Raises StoreClosed."""
        life = self._life
        if not life.is_ours:
            life.check()
        while True:
            path = self.path
            try:
                reader = self.idle.pop()
            except IndexError:
                if path is None:
                    life.check()
                    raise
                try:
                    return PooledReader(open_reader(path, read_only=self._read_only), self, path)
                except apsw.CantOpenError:
                    if path is self.path:
                        raise
                    continue  # another file was switched to at this moment
            if reader.path is path:
                reader.reads_left -= 1
                if not reader.reads_left:
                    reader.look_for_commits()
                return reader
            reader.connection.close()

    def switch_to(self, path: Path) -> None:
        """Go on with another file. Readers that are in use end with the old one."""
        self.path = path

    def close(self) -> None:
        """Close all that nobody uses; the others are closed when they come back."""
        self.path = None
        while self.idle:
            self.idle.pop().connection.close()


class SharedReader(Reader):
    """The reader of a catalog in memory, which has one connection. Whoever has it keeps all others waiting: a query
    must not see the middle of a batch."""

    def __init__(self, connection: apsw.Connection, life: Life, lock: threading.RLock) -> None:
        super().__init__(connection)
        self._life = life
        self._lock = lock
        self.borrowers = 0

    def read(self) -> Self:
        """This reader, once it is the caller's turn. Raises StoreClosed."""
        life = self._life
        if not life.is_ours:
            life.check()
        self._lock.acquire()
        if not life.is_ours:  # closed while we waited: the connection may be another catalog's by now
            self._lock.release()
            life.check()
        self.borrowers += 1
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        refusal = classify(error, self.connection) if isinstance(error, apsw.Error) else None
        self.borrowers -= 1
        self._lock.release()
        if refusal is not None and refusal is not error:
            raise refusal from error

"""The rows that commands change, as statements: see `bleepstore.catalog.port.Tables`."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence

import apsw

from bleepstore.attributes import COLUMNS, dump
from bleepstore.bucket_settings import document_of
from bleepstore.catalog.records import CompletedUpload, DeleteMarker, StoredBucket, StoredVersion
from bleepstore.catalog.sqlite.outbox import OutboxTables
from bleepstore.catalog.sqlite.quotas import OWNER_HAS_QUOTA, QuotaTables
from bleepstore.catalog.sqlite.rates import put_rate_limit
from bleepstore.catalog.sqlite.replication import ReplicationTables
from bleepstore.catalog.sqlite.rows import (
    BY_VERSION_ID,
    FIND_USER,
    UPLOAD_COLUMNS,
    UPLOAD_OWNERS,
    VERSION_BY_ID,
    columns_of,
    dump_acl,
    dump_parts,
    from_columns,
    load_acl,
    make_upload,
    make_user,
    read_settings,
)
from bleepstore.catalog.sqlite.schema import raise_schema
from bleepstore.commands import CreateBucket, CreateUpload, PutCredential, PutObject, PutRole, RegisterPart
from bleepstore.model import (
    NULL_VERSION,
    Acl,
    BlobRef,
    BucketSetting,
    ObjectAttributes,
    Owner,
    Upload,
    User,
    Versioning,
)
from bleepstore.rates import Rate, RateScope

_CURRENT = "bucket_id = ? AND noncurrent = 0 AND key = ?"
_ROW = "bucket_id = ? AND noncurrent = ? AND key = ? AND sequence = ?"
_FIND_BUCKET = (
    "SELECT b.bucket_id, b.owner_id, b.versioning, (SELECT json_group_object(s.name, s.document) FROM bucket_setting s "
    "WHERE s.bucket_id = b.bucket_id AND s.name IN ('events', 'object_lock', 'ownership', 'public_access_block', "
    "'replication')), "
    "b.keeps_usage, b.location "
    "FROM bucket b WHERE b.name = ?"
)
_LOCK_TIME = "UPDATE state SET lock_ms = max(lock_ms, ?) RETURNING lock_ms"
_STORED_VERSION = (
    "SELECT -sequence, version_id, etag, owner_id, handle, inline_id, noncurrent = 0, is_delete_marker, size, "
    "creator_id FROM object_version"
)
_FIND_CURRENT = f"{_STORED_VERSION} WHERE {_CURRENT}"
_FIND_NEWEST_OTHER = f"{_STORED_VERSION} WHERE bucket_id = ? AND noncurrent = 1 AND key = ? ORDER BY sequence LIMIT 1"
_FIND_BY_ID = f"{_STORED_VERSION} {BY_VERSION_ID} WHERE bucket_id = ? AND key = ? AND {VERSION_BY_ID}"
_FIND_AT = f"{_STORED_VERSION} WHERE bucket_id = ? AND noncurrent IN (0, 1) AND key = ? AND sequence = ?"
_MAKE_NONCURRENT = f"UPDATE object_version SET noncurrent = 1, noncurrent_ms = ? WHERE {_ROW}"
_MAKE_LATEST = f"UPDATE object_version SET noncurrent = is_delete_marker, noncurrent_ms = NULL WHERE {_ROW}"
_HAS_OTHERS = (
    "SELECT EXISTS (SELECT 1 FROM object_version WHERE bucket_id = ? AND noncurrent IN (0, 1) AND key = ? "
    "AND sequence <> ?)"
)
_COUNT_NEWER = (
    "SELECT count(*) FROM (SELECT 1 FROM object_version WHERE bucket_id = ? AND noncurrent = 1 AND key = ? "
    "AND sequence < ? AND noncurrent_ms IS NOT NULL LIMIT ?)"
)
_INSERT_MARKER = (
    "INSERT INTO object_version (bucket_id, noncurrent, key, sequence, version_id, is_delete_marker, modified_ms, "
    "etag, size, owner_id, creator_id) VALUES (?, 1, ?, ?, ?, 1, ?, '', 0, ?, ?)"
)
_VERSION_COLUMNS = (
    "sequence", "version_id", "modified_ms", "etag", "size", "owner_id", "creator_id", "checksum_algorithm",
    "checksum_type", "checksum_value", "crc64nvme", "handle", "inline_id", "parts_count", "parts", *COLUMNS,
)  # fmt: skip
#: The bucket, the key and the sequence that is replaced come behind these.
_AT = len(_VERSION_COLUMNS) + 1
_IS_AGED = f"(SELECT nullif(keeps_ages, 0) FROM bucket WHERE bucket_id = ?{_AT})"
_INSERT_VERSION = (
    f"INSERT INTO object_version ({', '.join(_VERSION_COLUMNS)}, "
    "bucket_id, key, noncurrent, is_delete_marker, is_aged) "
    f"VALUES ({', '.join('?' * len(_VERSION_COLUMNS))}, ?{_AT}, ?{_AT + 1}, 0, 0, {_IS_AGED})"
)
_REPLACE_VERSION = (
    f"UPDATE object_version SET {', '.join(f'{name} = ?' for name in _VERSION_COLUMNS)}, is_aged = {_IS_AGED} "
    # There is one row of this key, and only the whole primary key tells SQLite so: without the sequence it notes the
    # rows in a table of its own before it changes the first, which takes as long as all else of the statement.
    f"WHERE bucket_id = ?{_AT} AND noncurrent = 0 AND key = ?{_AT + 1} AND sequence = ?{_AT + 2}"
)
_FIND_ATTRIBUTES = f"SELECT {', '.join(COLUMNS)} FROM object_version WHERE {_ROW}"
_SET_ATTRIBUTES = f"UPDATE object_version SET {', '.join(f'{name} = ?' for name in COLUMNS)} WHERE {_ROW}"
_UPLOAD_COLUMNS = (
    "bucket_id", "key", "upload_id", "initiated_ms", "owner_id", "initiator_id", "checksum_algorithm",
    "checksum_type", "backend_token", "replaced_sequence", *COLUMNS,
)  # fmt: skip
_INSERT_UPLOAD = f"INSERT INTO upload ({', '.join(_UPLOAD_COLUMNS)}) VALUES ({', '.join('?' * len(_UPLOAD_COLUMNS))})"
_FIND_UPLOAD = (
    f"SELECT {UPLOAD_COLUMNS} FROM upload u {UPLOAD_OWNERS} WHERE bucket_id = ? AND key = ? AND upload_id = ?"
)
_SET_REPLACED = "UPDATE upload SET replaced_sequence = ? WHERE bucket_id = ? AND key = ? AND replaced_sequence = ?"
_DELETE_QUOTA = "DELETE FROM quota WHERE scope = 'bucket' AND name = (SELECT name FROM bucket WHERE bucket_id = ?)"
_PARTS_BY_INITIATOR = (
    "SELECT u.initiator_id, sum(p.size) FROM upload u JOIN part p USING (upload_id) WHERE u.bucket_id = ? "
    "GROUP BY u.initiator_id ORDER BY u.initiator_id"
)
_DISCARD = (
    "INSERT INTO garbage (handle, token) SELECT p.handle, u.backend_token FROM upload u JOIN part p "
    "ON p.upload_id = u.upload_id WHERE "
)
_DISCARD_PART = f"{_DISCARD}u.upload_id = ? AND p.number = ?"
_DISCARD_PARTS = f"{_DISCARD}u.{{}} = ? ORDER BY u.upload_id, p.number"
#: Buckets, and owners, that are kept from one transaction to the next.
_MAX_BUCKETS = 1024


class SqliteTables(QuotaTables, OutboxTables, ReplicationTables):
    """For the connection that writes, within its transactions.

    `before_bucket_change` is called before what a query for a bucket gives changes.
    """

    def __init__(self, connection: apsw.Connection, before_bucket_change: Callable[[], None]) -> None:
        def before_change() -> None:
            before_bucket_change()
            self._buckets.clear()
            self._owners.clear()

        super().__init__(connection, before_change)
        self._execute = connection.execute
        self.has_advanced = False  # whether the transaction has set another applied index
        self.events = []
        self._buckets: dict[str, StoredBucket] = {}
        #: Of `BucketCache`, when the transactions began in which the buckets were found that are kept.
        self.bucket_count = 1
        #: Names by ids. A bucket shows its owner's name, so what changes one is counted as a change of buckets.
        self._owners: dict[str, str] = {}

    def forget_buckets(self, bucket_count: int) -> None:
        """Some may have changed since; those of this transaction and the next ones are found at another count."""
        self._buckets.clear()
        self._owners.clear()
        self.bucket_count = bucket_count

    def forget(self) -> None:
        """The transaction is undone."""
        self.events, self.has_queued = [], False
        self._buckets.clear()
        self._owners.clear()

    def raise_level(self, level: int) -> None:
        """The cluster goes on to this feature level: change the schema as it says, and what is stored of any bucket."""
        self._before_bucket_change()
        raise_schema(self.connection, level)

    # -- the log

    def applied_index(self) -> int:
        index: int = self._execute("SELECT applied_index FROM state").get
        return index

    def set_applied_index(self, index: int) -> None:
        self._execute("UPDATE state SET applied_index = ? WHERE id = 1", (index,))
        self.has_advanced = True

    def advance(self, count: int) -> None:
        self._execute("UPDATE state SET applied_index = applied_index + ? WHERE id = 1", (count,))
        self.has_advanced = True

    def find_result(self, request_id: str) -> str | None:
        result: str | None = self._execute("SELECT result FROM applied_request WHERE request_id = ?", (request_id,)).get
        return result

    def keep_result(self, request_id: str, index: int, result: str) -> None:
        self._execute("INSERT INTO applied_request VALUES (?, ?, ?)", (request_id, index, result))

    def forget_results(self, through: int) -> None:
        self._execute("DELETE FROM applied_request WHERE applied_index <= ?", (through,))

    def identify(self) -> str:
        """The catalog's id, which the first to ask for it makes; no command does, for replicas must be equal."""
        catalog_id: str | None = self._execute("SELECT id FROM identity").get
        if catalog_id is None:
            catalog_id = secrets.token_hex(16)
            self._execute("INSERT INTO identity VALUES (?)", (catalog_id,))
        return catalog_id

    # -- owners, access keys

    def remember_owner(self, owner: Owner) -> None:
        known: str | None = self._owners.get(owner.id)
        if known is None:
            known = self._execute("SELECT display_name FROM owner WHERE owner_id = ?", (owner.id,)).get
            if known is None:
                self._execute("INSERT INTO owner VALUES (?, ?)", (owner.id, owner.display_name))
                return
            if len(self._owners) >= _MAX_BUCKETS:
                self._owners.clear()
            self._owners[owner.id] = known
        if owner.display_name and known != owner.display_name:
            self._before_bucket_change()
            self._execute("UPDATE owner SET display_name = ? WHERE owner_id = ?", (owner.display_name, owner.id))

    def put_credential(self, command: PutCredential) -> None:
        self._execute(
            "INSERT INTO credential VALUES (?, ?, ?, ?, 1, ?, ?, ?) ON CONFLICT (access_key) DO UPDATE SET "
            "secret_key = excluded.secret_key, owner_id = excluded.owner_id, email = excluded.email, enabled = 1, "
            "user_name = excluded.user_name, sealed_by = excluded.sealed_by",
            (
                command.access_key,
                command.secret_key,
                command.owner.id,
                command.email,
                command.time_ms,
                command.user,
                command.sealed_by,
            ),
        )

    def disable_credential(self, access_key: str) -> bool:
        self._execute("UPDATE credential SET enabled = 0 WHERE access_key = ?", (access_key,))
        return self.connection.changes() > 0

    def delete_credential(self, access_key: str) -> bool:
        self._execute("DELETE FROM credential WHERE access_key = ?", (access_key,))
        return self.connection.changes() > 0

    def replace_secret(self, access_key: str, expected: str, secret_key: str, sealed_by: str | None) -> bool:
        self._execute(
            "UPDATE credential SET secret_key = ?, sealed_by = ? WHERE access_key = ? AND secret_key = ?",
            (secret_key, sealed_by, access_key, expected),
        )
        return self.connection.changes() > 0

    def find_user(self, account_id: str, name: str) -> User | None:
        row = self._execute(FIND_USER, (account_id, name)).fetchone()
        return None if row is None else make_user(row)

    def put_user(self, user: User) -> None:
        self._execute(
            "INSERT INTO user VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (account_id, name) DO UPDATE SET "
            "policies = excluded.policies",
            (user.account.id, user.name, user.path, user.id, user.created_ms, dump(dict(user.policies))),
        )

    def delete_user(self, user: User) -> list[str]:
        self._execute("DELETE FROM user WHERE account_id = ? AND name = ?", (user.account.id, user.name))
        sql = "DELETE FROM credential WHERE owner_id = ? AND user_name = ? RETURNING access_key"
        return sorted(access_key for (access_key,) in self._execute(sql, (user.account.id, user.name)))

    # -- roles and sessions

    def put_role(self, command: PutRole) -> None:
        policies = dump(dict(sorted(command.policies.items())))
        self._execute(
            "INSERT INTO role VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (account_id, name) DO UPDATE SET "
            "trust_policy = excluded.trust_policy, policies = excluded.policies, "
            "max_session_seconds = excluded.max_session_seconds",
            (
                command.account.id,
                command.name,
                command.role_id,
                command.trust_policy,
                policies,
                command.max_session_seconds,
                command.time_ms,
            ),
        )

    def has_role(self, account_id: str, name: str) -> bool:
        sql = "SELECT EXISTS (SELECT 1 FROM role WHERE account_id = ? AND name = ?)"
        return bool(self._execute(sql, (account_id, name)).get)

    def delete_role(self, account_id: str, name: str) -> bool:
        self._execute("DELETE FROM role WHERE account_id = ? AND name = ?", (account_id, name))
        return self.connection.changes() > 0

    def put_session_key(self, key: str, sealed_by: str | None, expected: str | None) -> None:
        if expected is None:
            self._execute("INSERT INTO session_key VALUES (1, ?, ?) ON CONFLICT DO NOTHING", (key, sealed_by))
        else:
            self._execute("UPDATE session_key SET key = ?, sealed_by = ? WHERE key = ?", (key, sealed_by, expected))

    def forget_revocations(self, before_ms: int) -> None:
        self._execute("DELETE FROM revocation WHERE until_ms < ?", (before_ms,))

    def revoke_sessions(self, principal: str, until_ms: int) -> None:
        self._execute(
            "INSERT INTO revocation VALUES (?, ?) ON CONFLICT (principal) DO UPDATE SET "
            "until_ms = max(until_ms, excluded.until_ms)",
            (principal, until_ms),
        )

    def put_rate_limit(self, scope: RateScope, name: str, rate: Rate | None) -> None:
        put_rate_limit(self.connection, scope, name, rate)

    # -- buckets

    def find_bucket(self, name: str, bucket_id: int | None = None) -> StoredBucket | None:
        bucket = self._buckets.get(name)
        if bucket is None:
            row = self._execute(_FIND_BUCKET, (name,)).fetchone()
            if row is None:
                return None
            settings = read_settings(row[3])
            is_watched = settings.events is not None or self.watches_all
            bucket = StoredBucket(row[0], name, row[1], row[2], settings, row[4] == 1, row[5], is_watched)
            if len(self._buckets) >= _MAX_BUCKETS:
                self._buckets.clear()
            self._buckets[name] = bucket
        return bucket if bucket_id is None or bucket_id == bucket.bucket_id else None

    def insert_bucket(self, command: CreateBucket) -> None:
        owner_id = command.owner.id
        self._execute(
            "INSERT INTO bucket (name, owner_id, created_ms, location, acl, keeps_usage) VALUES (?1, ?2, ?3, ?4, ?5, "
            f"{OWNER_HAS_QUOTA.format(owner='?2')})",
            (command.bucket, owner_id, command.time_ms, command.location, dump_acl(command.acl, owner_id)),
        )

    def set_bucket_acl(self, bucket: StoredBucket, acl: Acl) -> None:
        self._before_bucket_change()
        self._execute(
            "UPDATE bucket SET acl = ? WHERE bucket_id = ?", (dump_acl(acl, bucket.owner_id), bucket.bucket_id)
        )

    def bucket_acl(self, bucket: StoredBucket) -> Acl:
        return load_acl(
            self._execute("SELECT acl FROM bucket WHERE bucket_id = ?", (bucket.bucket_id,)).get, bucket.owner_id
        )

    def set_bucket_setting(self, bucket: StoredBucket, setting: BucketSetting) -> None:
        self._before_bucket_change()
        document, row = document_of(setting), (bucket.bucket_id, setting.name)
        if document is None:
            self._execute("DELETE FROM bucket_setting WHERE bucket_id = ? AND name = ?", row)
        else:
            self._execute("INSERT OR REPLACE INTO bucket_setting VALUES (?, ?, ?)", (*row, document))
        if setting.name == "lifecycle":
            self._keep_ages(bucket.bucket_id, keeps=document is not None)

    def _keep_ages(self, bucket_id: int, *, keeps: bool) -> None:
        """What is written from now on has the bucket's choice. What is there already gets into the index now; it leaves
        that when it is replaced."""
        self._execute("UPDATE bucket SET keeps_ages = ?1 WHERE bucket_id = ?2 AND keeps_ages <> ?1", (keeps, bucket_id))
        if keeps and self.connection.changes():
            self._execute("UPDATE object_version SET is_aged = 1 WHERE bucket_id = ? AND is_aged IS NULL", (bucket_id,))

    def setting_document(self, bucket_id: int, name: str) -> str | None:
        sql = "SELECT document FROM bucket_setting WHERE bucket_id = ? AND name = ?"
        document: str | None = self._execute(sql, (bucket_id, name)).get
        return document

    def lock_time(self, time_ms: int) -> int:
        latest: int = self._execute(_LOCK_TIME, (time_ms,)).get
        return latest

    def set_bucket_versioning(self, bucket: StoredBucket, versioning: Versioning) -> None:
        self._before_bucket_change()
        self._execute("UPDATE bucket SET versioning = ? WHERE bucket_id = ?", (versioning.value, bucket.bucket_id))

    def has_versions(self, bucket_id: int) -> bool:
        sql = "SELECT EXISTS (SELECT 1 FROM object_version WHERE bucket_id = ?)"
        return bool(self._execute(sql, (bucket_id,)).get)

    def remove_bucket(self, bucket_id: int) -> None:
        self._before_bucket_change()
        self._execute(_DISCARD_PARTS.format("bucket_id"), (bucket_id,))
        self._execute(
            "DELETE FROM part WHERE upload_id IN (SELECT upload_id FROM upload WHERE bucket_id = ?)", (bucket_id,)
        )
        self._execute("DELETE FROM upload WHERE bucket_id = ?", (bucket_id,))
        self._execute("DELETE FROM bucket_setting WHERE bucket_id = ?", (bucket_id,))
        self._execute(_DELETE_QUOTA, (bucket_id,))
        self._execute("DELETE FROM bucket WHERE bucket_id = ?", (bucket_id,))

    # -- objects

    def current_version(self, bucket_id: int, key: str) -> StoredVersion | None:
        row = self._execute(_FIND_CURRENT, (bucket_id, key)).fetchone()
        return None if row is None else StoredVersion._make(row)

    def latest_version(self, bucket_id: int, key: str) -> StoredVersion | None:
        row = self._execute(_FIND_CURRENT, (bucket_id, key)).fetchone()
        if row is None:
            row = self._execute(_FIND_NEWEST_OTHER, (bucket_id, key)).fetchone()
        return None if row is None else StoredVersion._make(row)

    def find_version(self, bucket_id: int, key: str, version_id: str) -> StoredVersion | None:
        if version_id == NULL_VERSION:
            current = self.current_version(bucket_id, key)
            if current is not None and current.version_id == NULL_VERSION:
                return current
        row = self._execute(_FIND_BY_ID, (bucket_id, key, version_id)).fetchone()
        return None if row is None else StoredVersion._make(row)

    def write_version(
        self, bucket_id: int, command: PutObject, version_id: str, sequence: int, replaced: StoredVersion | None
    ) -> None:
        data = command.data
        handle = inline_id = None
        kept = None if replaced is None else replaced.inline_id
        if isinstance(data, BlobRef):
            handle = data.handle
            if kept is not None:
                self._execute("DELETE FROM inline_data WHERE inline_id = ?", (kept,))
        elif kept is not None:
            # Instead of the bytes that it replaces: fewer pages change than by a delete and an insert.
            inline_id = kept
            self._execute("UPDATE inline_data SET data = ? WHERE inline_id = ?", (data.data, inline_id))
        else:
            self._execute("INSERT INTO inline_data (data) VALUES (?)", (data.data,))
            inline_id = self.connection.last_insert_rowid()
        checksum = command.checksum
        row = (
            -sequence,
            version_id,
            command.time_ms,
            command.etag,
            command.size,
            command.owner.id,
            command.creator_id,
            checksum and checksum.algorithm,
            checksum and checksum.type,
            checksum and checksum.value,
            command.crc64nvme,
            handle,
            inline_id,
            len(command.parts) or None,
            dump_parts(command.parts) if command.parts else None,
            *columns_of(command.attributes),
            bucket_id,
            command.key,
        )
        if replaced is None:
            self._execute(_INSERT_VERSION, row)
        else:
            self._execute(_REPLACE_VERSION, (*row, -replaced.sequence))

    def make_noncurrent(self, bucket_id: int, key: str, latest: StoredVersion, time_ms: int) -> None:
        self._execute(_MAKE_NONCURRENT, (time_ms, *_row(bucket_id, key, latest)))

    def make_latest(self, bucket_id: int, key: str, version: StoredVersion) -> None:
        self._execute(_MAKE_LATEST, _row(bucket_id, key, version))

    def version_at(self, bucket_id: int, key: str, sequence: int) -> StoredVersion | None:
        row = self._execute(_FIND_AT, (bucket_id, key, -sequence)).fetchone()
        return None if row is None else StoredVersion._make(row)

    def is_only_version(self, bucket_id: int, key: str, version: StoredVersion) -> bool:
        return not self._execute(_HAS_OTHERS, (bucket_id, key, -version.sequence)).get

    def newer_noncurrent(self, bucket_id: int, key: str, sequence: int, limit: int) -> int:
        count: int = self._execute(_COUNT_NEWER, (bucket_id, key, -sequence, limit)).get
        return count

    def insert_delete_marker(self, bucket_id: int, marker: DeleteMarker) -> None:
        key, version_id, sequence, owner_id, modified_ms, creator_id = marker
        self._execute(_INSERT_MARKER, (bucket_id, key, -sequence, version_id, modified_ms, owner_id, creator_id))

    def remove_version(self, bucket_id: int, key: str, version: StoredVersion) -> None:
        row = (bucket_id, not version.is_current, key, -version.sequence)
        self._execute(f"DELETE FROM object_version WHERE {_ROW}", row)
        if version.inline_id is not None:
            self._execute("DELETE FROM inline_data WHERE inline_id = ?", (version.inline_id,))

    def object_attributes(self, bucket_id: int, key: str, version: StoredVersion) -> ObjectAttributes:
        row = self._execute(_FIND_ATTRIBUTES, _row(bucket_id, key, version)).fetchone()
        assert row is not None
        return from_columns(row)

    def set_object_attributes(
        self, bucket_id: int, key: str, version: StoredVersion, attributes: ObjectAttributes
    ) -> None:
        self._execute(_SET_ATTRIBUTES, (*columns_of(attributes), *_row(bucket_id, key, version)))

    # -- uploads

    def initiator_of(self, bucket_id: int, key: str, upload_id: str) -> str | None:
        sql = "SELECT initiator_id FROM upload WHERE bucket_id = ? AND key = ? AND upload_id = ?"
        initiator_id: str | None = self._execute(sql, (bucket_id, key, upload_id)).get
        return initiator_id

    def find_upload(self, bucket: str, bucket_id: int, key: str, upload_id: str) -> Upload | None:
        row = self._execute(_FIND_UPLOAD, (bucket_id, key, upload_id)).fetchone()
        return None if row is None else make_upload(bucket, row)

    def replaced_sequence(self, upload_id: str) -> int | None:
        sequence: int | None = self._execute(
            "SELECT replaced_sequence FROM upload WHERE upload_id = ?", (upload_id,)
        ).get
        return sequence

    def set_replaced_sequence(self, bucket_id: int, key: str, old: int, new: int) -> None:
        self._execute(_SET_REPLACED, (new, bucket_id, key, old))

    def insert_upload(self, bucket_id: int, command: CreateUpload, replaced_sequence: int | None) -> None:
        self._execute(
            _INSERT_UPLOAD,
            (
                bucket_id,
                command.key,
                command.upload_id,
                command.time_ms,
                command.owner.id,
                command.initiator.id,
                command.checksum_algorithm and command.checksum_algorithm.value,
                command.checksum_type and command.checksum_type.value,
                command.backend_token and command.backend_token.text,
                replaced_sequence,
                *columns_of(command.attributes),
            ),
        )

    def discard_upload(self, upload_id: str) -> None:
        self._execute(_DISCARD_PARTS.format("upload_id"), (upload_id,))
        self._execute("DELETE FROM part WHERE upload_id = ?", (upload_id,))
        self._execute("DELETE FROM upload WHERE upload_id = ?", (upload_id,))

    def find_part(self, upload_id: str, number: int) -> tuple[str, int] | None:
        return self._execute(
            "SELECT handle, size FROM part WHERE upload_id = ? AND number = ?", (upload_id, number)
        ).fetchone()

    def parts_size(self, upload_id: str) -> int:
        size: int = self._execute("SELECT coalesce(sum(size), 0) FROM part WHERE upload_id = ?", (upload_id,)).get
        return size

    def parts_by_initiator(self, bucket_id: int) -> list[tuple[str, int]]:
        return self._execute(_PARTS_BY_INITIATOR, (bucket_id,)).fetchall()  # type: ignore[return-value]  # two columns

    def part_handles(self, upload_id: str) -> dict[int, str]:
        rows = self._execute("SELECT number, handle FROM part WHERE upload_id = ?", (upload_id,)).fetchall()
        return dict(rows)  # type: ignore[arg-type]  # rows of two columns

    def put_part(self, command: RegisterPart) -> None:
        checksum = command.checksum
        self._execute(
            "INSERT OR REPLACE INTO part VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                command.upload_id,
                command.number,
                command.size,
                command.etag,
                command.time_ms,
                checksum and checksum.algorithm.value,
                checksum and checksum.value,
                command.crc64nvme,
                command.handle,
            ),
        )

    def keep_completed(self, bucket_id: int, upload_id: str, completed: PutObject, version_id: str | None) -> None:
        self._execute(
            "INSERT INTO completed_upload VALUES (?, ?, ?, ?, ?, ?)",
            (upload_id, bucket_id, completed.key, completed.etag, completed.time_ms, version_id),
        )

    def find_completed(self, bucket_id: int, upload_id: str, key: str) -> CompletedUpload | None:
        row = self._execute(
            "SELECT etag, completed_ms, version_id FROM completed_upload "
            "WHERE upload_id = ? AND bucket_id = ? AND key = ?",
            (upload_id, bucket_id, key),
        ).fetchone()
        return None if row is None else CompletedUpload._make(row)

    def forget_completed(self, before_ms: int) -> None:
        self._execute("DELETE FROM completed_upload WHERE completed_ms < ?", (before_ms,))

    # -- garbage and sweeps

    def discard(self, handle: str) -> None:
        self._execute("INSERT INTO garbage (handle) VALUES (?)", (handle,))

    def discard_part(self, upload_id: str, number: int) -> None:
        self._execute(_DISCARD_PART, (upload_id, number))

    def forget_garbage(self, garbage_ids: Sequence[int]) -> None:
        self.connection.executemany("DELETE FROM garbage WHERE garbage_id = ?", [(i,) for i in garbage_ids])

    def sweep_begun_ms(self) -> int:
        begun: int = self._execute("SELECT sweep_begun_ms FROM state").get
        return begun

    def begin_sweep(self, until_ms: int) -> None:
        self._execute("UPDATE state SET sweep_begun_ms = max(sweep_begun_ms, ?)", (until_ms,))

    def end_sweep(self, until_ms: int) -> None:
        self._execute("UPDATE state SET sweep_ended_ms = max(sweep_ended_ms, ?)", (until_ms,))


def _row(bucket_id: int, key: str, version: StoredVersion) -> tuple[int, bool, str, int]:
    """The primary key of a version."""
    return bucket_id, not version.is_current, key, -version.sequence

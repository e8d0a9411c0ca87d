"""The tables, and how an older catalog becomes a newer one.

`PRAGMA user_version` is the number of migrations that were applied. A released migration is never edited; the
next one succeeds it.

A catalog by itself is migrated when it is opened. A replicated one is migrated by the entry of the log that raises the
feature level of its cluster: until then nodes of the version before must be able to read it, and to send it to others.
So a version also works with the tables of a level below its own: it names what a level brings only where that is in
effect.
"""

from __future__ import annotations

import re

import apsw

from bleepstore.errors import CatalogDamaged, CatalogTooNew, CatalogTooOld

APPLICATION_ID = 0x424C5031  # "BLP1": `file` and SQLite tools tell what this database is

# Objects are keyed (bucket, key, version). The versions that an unversioned read sees come first (`noncurrent` is 0),
# each bucket's in the order of their keys, so that a listing meets no others, however many there are: older versions
# and all delete markers, also those that are the latest of their key, come behind them. `sequence` is minus the key's
# own counter of versions, so the newest one of a key comes first.
#
# `noncurrent_ms` is when a version was replaced by another as the latest of its key; NULL: it is the latest.
#
# `is_aged` is 1 where the bucket `keeps_ages`, as one with a lifecycle does, else NULL: every overwrite changes the
# index of ages, which is of no use to the others.
#
# Small objects' bytes are in inline_data, apart from object_version, so that a listing reads few pages.
# The columns of attributes are those of `bleepstore.attributes`: NULL for what is absent. Other JSON columns are NULL
# for the default (a private ACL, no parts).
# `crc64nvme` is what the bytes are compared with when they are read, in base64; NULL if it is not known.
_V1 = """
CREATE TABLE state(
    id INTEGER PRIMARY KEY CHECK (id = 1),
    applied_index INTEGER NOT NULL,
    sweep_begun_ms INTEGER NOT NULL,
    sweep_ended_ms INTEGER NOT NULL,
    lock_ms INTEGER NOT NULL,
    event_sequencer INTEGER NOT NULL
) STRICT;
INSERT INTO state VALUES (1, 0, 0, 0, 0, 0);

-- Which catalog this is, for the folder that holds its blobs. It has no row elsewhere: replicas must be equal.
CREATE TABLE identity(
    id TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;

CREATE TABLE owner(
    owner_id TEXT PRIMARY KEY,
    display_name TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE credential(
    access_key TEXT PRIMARY KEY,
    secret_key TEXT NOT NULL,
    owner_id TEXT NOT NULL,
    email TEXT,
    enabled INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    user_name TEXT,
    sealed_by TEXT
) STRICT, WITHOUT ROWID;

-- `policies` is a JSON object of the texts by their names.
CREATE TABLE user(
    account_id TEXT NOT NULL,
    name TEXT NOT NULL COLLATE NOCASE,
    path TEXT NOT NULL,
    user_id TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    policies TEXT NOT NULL,
    PRIMARY KEY (account_id, name)
) STRICT, WITHOUT ROWID;

-- `policies` is JSON of name -> document.
CREATE TABLE role(
    account_id TEXT NOT NULL,
    name TEXT NOT NULL,
    role_id TEXT NOT NULL,
    trust_policy TEXT NOT NULL,
    policies TEXT NOT NULL,
    max_session_seconds INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    PRIMARY KEY (account_id, name)
) STRICT, WITHOUT ROWID;

-- What seals the tokens of sessions: one key, from the first session on.
CREATE TABLE session_key(
    id INTEGER PRIMARY KEY CHECK (id = 1),
    key TEXT NOT NULL,
    sealed_by TEXT
) STRICT;

-- Sessions of a principal that began up to then are over.
CREATE TABLE revocation(
    principal TEXT PRIMARY KEY,
    until_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- An id is never given again: what refers to a deleted bucket must not refer to the next one.
CREATE TABLE bucket(
    bucket_id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    owner_id TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    location TEXT NOT NULL,
    acl TEXT,
    versioning TEXT,
    keeps_ages INTEGER NOT NULL DEFAULT 0,
    keeps_usage INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Quotas of buckets by their names, of accounts by their ids, and of users and roles by their ARNs, and what counts in
-- them: `bleepstore.quotas`. A bucket `keeps_usage` if it counts in one, or something in it may.
CREATE TABLE quota(
    scope TEXT NOT NULL,
    name TEXT NOT NULL,
    max_bytes INTEGER,
    max_objects INTEGER,
    objects INTEGER NOT NULL DEFAULT 0,
    bytes INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (scope, name)
) STRICT, WITHOUT ROWID;

-- What a bucket is configured with: `bleepstore.bucket_settings`. A row for each setting that it has.
CREATE TABLE bucket_setting(
    bucket_id INTEGER NOT NULL,
    name TEXT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (bucket_id, name)
) STRICT, WITHOUT ROWID;

-- Rates of keys and accounts: `bleepstore.rates`. A slot is never given again, lest one pay for another.
CREATE TABLE rate_limit(
    slot INTEGER PRIMARY KEY AUTOINCREMENT,
    scope TEXT NOT NULL,
    name TEXT NOT NULL,
    requests INTEGER,
    bytes INTEGER,
    UNIQUE (scope, name)
) STRICT;

CREATE TABLE object_version(
    bucket_id INTEGER NOT NULL,
    noncurrent INTEGER NOT NULL,
    key TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    version_id TEXT NOT NULL,
    is_delete_marker INTEGER NOT NULL,
    modified_ms INTEGER NOT NULL,
    noncurrent_ms INTEGER,
    etag TEXT NOT NULL,
    size INTEGER NOT NULL,
    owner_id TEXT NOT NULL,
    creator_id TEXT,
    checksum_algorithm TEXT,
    checksum_type TEXT,
    checksum_value TEXT,
    crc64nvme TEXT,
    handle TEXT,
    inline_id INTEGER,
    parts_count INTEGER,
    parts TEXT,
    system TEXT,
    metadata TEXT,
    storage_class TEXT,
    grants TEXT,
    tags TEXT,
    restoration TEXT,
    retention TEXT,
    legal_hold TEXT,
    encryption TEXT,
    replication TEXT,
    is_aged INTEGER,
    PRIMARY KEY (bucket_id, noncurrent, key, sequence)
) STRICT, WITHOUT ROWID;

CREATE TABLE inline_data(
    inline_id INTEGER PRIMARY KEY,
    data BLOB NOT NULL
) STRICT;

CREATE TABLE upload(
    bucket_id INTEGER NOT NULL,
    key TEXT NOT NULL,
    upload_id TEXT NOT NULL UNIQUE,
    initiated_ms INTEGER NOT NULL,
    owner_id TEXT NOT NULL,
    initiator_id TEXT NOT NULL,
    checksum_algorithm TEXT,
    checksum_type TEXT,
    backend_token TEXT,
    replaced_sequence INTEGER,
    system TEXT,
    metadata TEXT,
    storage_class TEXT,
    grants TEXT,
    tags TEXT,
    restoration TEXT,
    retention TEXT,
    legal_hold TEXT,
    encryption TEXT,
    replication TEXT,
    PRIMARY KEY (bucket_id, key, upload_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE part(
    upload_id TEXT NOT NULL,
    number INTEGER NOT NULL,
    size INTEGER NOT NULL,
    etag TEXT NOT NULL,
    modified_ms INTEGER NOT NULL,
    checksum_algorithm TEXT,
    checksum_value TEXT,
    crc64nvme TEXT,
    handle TEXT NOT NULL,
    PRIMARY KEY (upload_id, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE completed_upload(
    upload_id TEXT PRIMARY KEY,
    bucket_id INTEGER NOT NULL,
    key TEXT NOT NULL,
    etag TEXT NOT NULL,
    completed_ms INTEGER NOT NULL,
    version_id TEXT
) STRICT, WITHOUT ROWID;

CREATE INDEX upload_age ON upload(initiated_ms, upload_id);
-- Backends whose provider lists uploads, not their parts, ask whether an upload is known.
CREATE INDEX upload_token ON upload(backend_token) WHERE backend_token IS NOT NULL;

-- Versions by their ids, but for current ones of the id "null", which are all there are without versioning.
CREATE INDEX version_id ON object_version(bucket_id, key, version_id) WHERE version_id <> 'null' OR noncurrent = 1;

-- What a lifecycle asks: objects by their age, older versions by when they were replaced, delete markers. The prefix of
-- a rule is compared with the key, which every index has. Ages of objects are kept in buckets that have rules alone.
CREATE INDEX object_age ON object_version(bucket_id, modified_ms, key) WHERE noncurrent = 0 AND is_aged = 1;
CREATE INDEX noncurrent_age ON object_version(bucket_id, noncurrent_ms) WHERE noncurrent_ms IS NOT NULL;
CREATE INDEX latest_marker ON object_version(bucket_id, key) WHERE is_delete_marker = 1 AND noncurrent_ms IS NULL;

-- Handles that are in use, to tell an orphan from an object in one seek.
CREATE INDEX object_handle ON object_version(handle) WHERE handle IS NOT NULL;
CREATE INDEX part_handle ON part(handle);

-- Blobs that nothing refers to any more. token is that of a part's upload, if its backend gave one.
CREATE TABLE garbage(
    garbage_id INTEGER PRIMARY KEY AUTOINCREMENT,
    handle TEXT NOT NULL,
    token TEXT
) STRICT;
CREATE INDEX garbage_handle ON garbage(handle);

-- Events that wait for a destination, in the order of their numbers, of the buckets of which account; the last number
-- that each has given, and how many wait, of all and of each account.
CREATE TABLE outbox(
    destination TEXT NOT NULL,
    number INTEGER NOT NULL,
    account_id TEXT NOT NULL,
    rule_id TEXT NOT NULL,
    time_ms INTEGER NOT NULL,
    event TEXT NOT NULL,
    PRIMARY KEY (destination, number)
) STRICT, WITHOUT ROWID;

CREATE INDEX outbox_account ON outbox(destination, account_id, number);

CREATE TABLE outbox_end(
    destination TEXT PRIMARY KEY,
    last_number INTEGER NOT NULL,
    waiting INTEGER NOT NULL,
    dropped INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE outbox_share(
    destination TEXT NOT NULL,
    account_id TEXT NOT NULL,
    waiting INTEGER NOT NULL,
    PRIMARY KEY (destination, account_id)
) STRICT, WITHOUT ROWID;

-- Archived versions that were asked for and cannot be read before `ready_ms`.
CREATE TABLE restoration(
    ready_ms INTEGER NOT NULL,
    bucket_id INTEGER NOT NULL,
    key TEXT NOT NULL,
    version_id TEXT NOT NULL,
    bucket TEXT NOT NULL,
    PRIMARY KEY (ready_ms, bucket_id, key, version_id)
) STRICT, WITHOUT ROWID;

-- Versions that are to be copied to a destination, in the order of their numbers: `bleepstore.replication`.
CREATE TABLE replication_task(
    destination TEXT NOT NULL,
    number INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    bucket_id INTEGER NOT NULL,
    key TEXT NOT NULL,
    version_id TEXT NOT NULL,
    queued_ms INTEGER NOT NULL,
    PRIMARY KEY (destination, number)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX replication_version ON replication_task(bucket_id, key, version_id, destination);

-- The results of recent commands, so that one that is applied again gives its first result.
CREATE TABLE applied_request(
    request_id TEXT PRIMARY KEY,
    applied_index INTEGER NOT NULL,
    result TEXT NOT NULL
) STRICT, WITHOUT ROWID;
"""

#: (the feature level of a cluster to which it belongs, script), in order; levels do not fall.
MIGRATIONS: tuple[tuple[int, str], ...] = ((1, _V1),)
#: All tables, also the one in which SQLite keeps the highest ids that were given.
TABLES = (*re.findall(r"CREATE TABLE (\w+)", "".join(script for _, script in MIGRATIONS)), "sqlite_sequence")
_CLEAR = "BEGIN IMMEDIATE; {}; INSERT INTO state VALUES (1, 0, 0, 0, 0, 0); COMMIT".format(
    "; ".join(f"DELETE FROM {table}" for table in TABLES)
)


def check_version(connection: apsw.Connection) -> None:
    """Raises CatalogTooNew, CatalogTooOld, CatalogDamaged unless the catalog is of this version."""
    try:
        version = connection.pragma("user_version")
        application_id = connection.pragma("application_id")
    except (apsw.NotADBError, apsw.CorruptError) as error:
        raise CatalogDamaged(f"{connection.filename} is not a sound catalog ({error})") from error
    if application_id != APPLICATION_ID:
        raise CatalogDamaged(f"{connection.filename} is not a BleepStore catalog")
    if version > len(MIGRATIONS):
        raise CatalogTooNew(f"{connection.filename} has schema version {version}: upgrade this BleepStore")
    if version < len(MIGRATIONS):
        raise CatalogTooOld(f"{connection.filename} has schema version {version}: open it once without read_only")


def migrate(connection: apsw.Connection, *, is_alone: bool = True, replicated: bool = False) -> None:
    """Bring the catalog to this version's schema, in one transaction; one that is `replicated` to that of the first
    feature level, which all of them have but a new one.

    Raises CatalogTooNew if a newer version wrote it, CatalogTooOld if it is not of this version and others, which wrote
    it so, have it open, CatalogDamaged if it is not a catalog.
    """
    try:
        connection.execute("BEGIN IMMEDIATE")
    except apsw.NotADBError as error:
        raise CatalogDamaged(f"{connection.filename} is not a BleepStore catalog: restore it from a backup") from error
    with_commit = False
    try:
        version = connection.pragma("user_version")
        application_id = connection.pragma("application_id")
        if version > len(MIGRATIONS):
            raise CatalogTooNew(
                f"{connection.filename} has schema version {version}, "
                f"this BleepStore knows {len(MIGRATIONS)}: upgrade it"
            )
        empty = connection.execute("SELECT count(*) FROM sqlite_schema").get == 0
        if not empty and application_id != APPLICATION_ID:
            raise CatalogDamaged(f"{connection.filename} is a SQLite database of something else, not a catalog")
        if not (empty or is_alone) and version < len(MIGRATIONS):
            raise CatalogTooOld(
                f"{connection.filename} is in use by an older BleepStore: end that first, then open it with this one"
            )
        raise_schema(connection, 1 if replicated else None)
        if empty:
            connection.pragma("application_id", APPLICATION_ID)
        with_commit = True
    finally:
        connection.execute("COMMIT" if with_commit else "ROLLBACK")


def raise_schema(connection: apsw.Connection, level: int | None) -> None:
    """Within a transaction, apply the migrations that are missing of the feature levels up to `level`; None: of all."""
    version = connection.pragma("user_version")
    for number, (since, script) in enumerate(MIGRATIONS[version:], start=version + 1):
        if level is None or since <= level:
            connection.execute(script)
            connection.pragma("user_version", number)


def clear(connection: apsw.Connection) -> None:
    """Make a catalog of this version an empty one, in one transaction."""
    connection.execute(_CLEAR)

"""One bucket as plain lists: what versions, tags, locks, archives and lifecycles must do, with nothing of how.

Nothing is shared with the library. Times are milliseconds since the epoch. A lock is (mode, until), a default retention
(mode, days). A method gives what a test compares; a refusal is `Refused` with the error's name.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence

import attrs

from tests.store.model import Refused, require

DAY = 24 * 3600 * 1000
ARCHIVES = ("GLACIER", "DEEP_ARCHIVE")
#: "The Amazon S3 Lifecycle waterfall": objects change downwards only.
WATERFALL = ("STANDARD", "STANDARD_IA", "INTELLIGENT_TIERING", "ONEZONE_IA", "GLACIER_IR", "GLACIER", "DEEP_ARCHIVE")
#: Of the changes that several rules ask for, the last of these.
FAVOURED = ("STANDARD_IA", "ONEZONE_IA", "GLACIER_IR", "INTELLIGENT_TIERING", "GLACIER", "DEEP_ARCHIVE")
SMALL = 128 * 1024
Lock = tuple[str, int]
Default = tuple[str, int]
Tags = Mapping[str, str]
#: (only if there is none, the ETag or "*" of what is there)
Condition = tuple[bool, str | None]
ALWAYS: Condition = (False, None)


@attrs.define(eq=False)
class Version:
    key: str
    body: bytes
    etag: str
    time: int
    tags: Tags
    storage_class: str
    lock: Lock | None = None
    hold: bool | None = None
    metadata: Tags = attrs.field(factory=dict)
    is_marker: bool = False
    id: str | None = "null"  # None: of what a lifecycle made, until it is listed
    since: int | None = None  # when it was replaced as the latest
    readable: tuple[int, int] | None = None  # an archive: from when, until when

    def is_archived(self, now: int) -> bool:
        is_readable = self.readable is not None and self.readable[0] <= now < self.readable[1]
        return self.storage_class in ARCHIVES and not is_readable

    def is_locked(self, now: int, *, bypass: bool = False) -> bool:
        if self.hold:
            return True
        if self.lock is None or self.lock[1] <= now:
            return False
        return not (bypass and self.lock[0] == "GOVERNANCE")

    @property
    def seen(self) -> tuple[object, ...]:
        """What a head shows."""
        return (
            self.etag, len(self.body), self.time, dict(self.tags), self.storage_class, self.lock, self.hold,
            dict(self.metadata), self.readable,
        )  # fmt: skip


@attrs.define(eq=False)
class Upload:
    key: str
    time: int
    tags: Tags
    storage_class: str
    lock: Lock | None
    hold: bool | None
    found: Version | None  # what was current when it was created
    part: bytes | None = None


@attrs.frozen(kw_only=True)
class Rule:
    """Of a lifecycle. A change of class is (class, days or None, date or None), of older versions (class, days,
    newer)."""

    id: str
    enabled: bool = True
    prefix: str = ""
    tags: Tags = attrs.field(factory=dict)
    more_than: int | None = None
    less_than: int | None = None
    days: int | None = None
    date: dt.date | None = None
    lone_markers: bool = False
    changes: tuple[tuple[str, int | None, dt.date | None], ...] = ()
    older: tuple[int, int | None] | None = None  # days, newer
    older_changes: tuple[tuple[str, int, int | None], ...] = ()
    abort_days: int | None = None

    @property
    def is_by_key(self) -> bool:
        return not self.tags and self.more_than is None and self.less_than is None

    def is_for(self, version: Version) -> bool:
        size = len(version.body)
        return (
            version.key.startswith(self.prefix)
            and set(self.tags.items()) <= set(version.tags.items())
            and (self.more_than is None or self.more_than < size)
            and (self.less_than is None or size < self.less_than)
        )


def midnight(time: int) -> int:
    """The next one, or this."""
    return (time + DAY - 1) // DAY * DAY


def when(time: int, days: int | None, date: dt.date | None) -> int:
    if days is not None:
        return midnight(time + days * DAY)
    assert date is not None
    return int(dt.datetime.combine(date, dt.time(), dt.UTC).timestamp()) * 1000


@attrs.define
class BucketModel:
    now: Callable[[], int]
    versioning: str | None = None
    has_lock: bool = False
    default: Default | None = None
    tags: Tags = attrs.field(factory=dict)
    rules: Sequence[Rule] = ()
    varies: bool = False  # which small objects change to an archive
    #: Of each key, the newest first. None is empty.
    keys: dict[str, list[Version]] = attrs.field(factory=dict)
    uploads: dict[str, Upload] = attrs.field(factory=dict)
    #: What completed uploads made: (ETag, version).
    completed: dict[str, Version] = attrs.field(factory=dict)

    # -- what is there

    def current(self, key: str) -> Version | None:
        newest = self.keys.get(key, [None])[0]
        return None if newest is None or newest.is_marker else newest

    def at(self, key: str, version_id: str) -> Version | None:
        return next((one for one in self.keys.get(key, ()) if one.id == version_id), None)

    def everything(self) -> list[Version]:
        return [one for key in sorted(self.keys) for one in self.keys[key]]

    def find(self, key: str, version_id: str | None) -> Version:
        if version_id is None:
            found = self.current(key)
            require(found is not None, "NoSuchKey")
        else:
            found = self.at(key, version_id)
            is_plain = version_id == "null" and self.versioning is None
            require(found is not None, "NoSuchKey" if is_plain else "NoSuchVersion")
        assert found is not None
        require(not found.is_marker, "MethodNotAllowed")
        return found

    def read(self, key: str, version_id: str | None) -> tuple[tuple[object, ...], object, bytes | str]:
        """(what a head shows, its expiry, the bytes, or why not)."""
        found = self.find(key, version_id)
        body: bytes | str = "InvalidObjectState" if found.is_archived(self.now()) else found.body
        return found.seen, self.expiry(found) if self.current(key) is found else None, body

    def source(self, key: str, version_id: str | None) -> Version:
        try:
            found = self.find(key, version_id)
        except Refused as refused:
            raise Refused("InvalidRequest" if str(refused) == "MethodNotAllowed" else str(refused)) from None
        require(not found.is_archived(self.now()), "InvalidObjectState")
        return found

    def listed(self) -> list[tuple[object, ...]]:
        return [
            (one.key, one.id, at == 0, one.is_marker, one.etag, len(one.body), one.time, one.storage_class)
            for _key, versions in sorted(self.keys.items())
            for at, one in enumerate(versions)
        ]

    # -- what makes and takes versions

    def check_condition(self, key: str, condition: Condition) -> None:
        current, (if_none, etag) = self.current(key), condition
        require(not if_none or current is None, "PreconditionFailed")
        if etag is not None:
            require(current is not None, "NoSuchKey")
            assert current is not None
            require(etag in ("*", current.etag), "PreconditionFailed")

    def check_lock(self, lock: Lock | None, hold: bool | None) -> None:
        if lock is not None or hold is not None:
            require(self.has_lock, "InvalidRequest")
        require(lock is None or lock[1] > self.now(), "InvalidArgument")

    def add(self, made: Version) -> None:
        """Make a version, or a marker, the latest of its key."""
        versions = self.keys.setdefault(made.key, [])
        if self.versioning is None:
            versions.clear()
        if self.versioning == "Enabled":
            made.id = None
        else:
            versions[:] = [one for one in versions if one.id != "null"]
        if versions and versions[0].since is None:
            versions[0].since = self.now()
        versions.insert(0, made)

    def remove(self, version: Version) -> None:
        versions = self.keys[version.key]
        versions.remove(version)
        if versions:
            versions[0].since = None
        else:
            del self.keys[version.key]

    def write(self, made: Version, condition: Condition) -> Version:
        self.check_condition(made.key, condition)
        if self.default is not None and made.lock is None:
            mode, days = self.default
            made.lock = mode, self.now() + days * DAY
        self.add(made)
        return made

    def put(
        self, key: str, body: bytes, tags: Tags, storage_class: str, lock: Lock | None, hold: bool | None,
        condition: Condition,
    ) -> Version:  # fmt: skip
        self.check_lock(lock, hold)
        etag = hashlib.md5(body).hexdigest()
        return self.write(Version(key, body, etag, self.now(), tags, storage_class, lock, hold), condition)

    def copy(
        self, source: tuple[str, str | None], key: str, tags: Tags | None, metadata: Tags | None,
        storage_class: str | None, lock: Lock | None, hold: bool | None, condition: Condition,
    ) -> Version:  # fmt: skip
        of = self.source(*source)
        if source == (key, None) and metadata is None and storage_class is None:
            self.check_condition(key, condition)
            raise Refused("InvalidRequest")
        self.check_lock(lock, hold)
        made = Version(
            key, of.body, hashlib.md5(of.body).hexdigest(), self.now(), of.tags if tags is None else tags,
            storage_class or "STANDARD", lock, hold, of.metadata if metadata is None else metadata,
        )  # fmt: skip
        return self.write(made, condition)

    def delete(
        self, key: str, version_id: str | None, condition: Condition, *, bypass: bool
    ) -> tuple[bool, str | None]:
        """(whether a delete marker was made or removed, its id if it was removed)."""
        self.check_condition(key, condition)
        if version_id is not None:
            gone = self.at(key, version_id)
            if gone is None:
                return False, None
            require(gone.is_marker or not gone.is_locked(self.now(), bypass=bypass), "ObjectLocked")
            self.remove(gone)
            return gone.is_marker, gone.id if gone.is_marker else None
        if self.versioning is None:
            self.keys.pop(key, None)
            return False, None
        self.mark(key)
        return True, None

    def mark(self, key: str) -> None:
        self.add(Version(key, b"", "", self.now(), {}, "STANDARD", is_marker=True))

    # -- uploads

    def create_upload(self, key: str, tags: Tags, storage_class: str, lock: Lock | None, hold: bool | None) -> Upload:
        """The test enters it into `uploads`."""
        self.check_lock(lock, hold)
        return Upload(key, self.now(), tags, storage_class, lock, hold, self.current(key))

    def complete(self, upload_id: str, etag: str, condition: Condition) -> Version:
        """`etag` of its one part."""
        whole = hashlib.md5(bytes.fromhex(etag)).hexdigest() + "-1"
        upload = self.uploads.get(upload_id)
        if upload is None:
            made = self.completed.get(upload_id)
            require(made is not None and made.etag == whole and made in self.keys.get(made.key, ()), "NoSuchUpload")
            assert made is not None
            return made
        require(upload.part is not None and hashlib.md5(upload.part).hexdigest() == etag, "InvalidPart")
        assert upload.part is not None
        self.check_condition(upload.key, condition)
        require(condition == ALWAYS or self.current(upload.key) is upload.found, "ConditionalRequestConflict")
        made = Version(
            upload.key, upload.part, whole, self.now(), upload.tags, upload.storage_class, upload.lock, upload.hold
        )  # fmt: skip
        del self.uploads[upload_id]
        self.completed[upload_id] = made
        return self.write(made, ALWAYS)

    # -- what goes with a version

    def put_tags(self, key: str, version_id: str | None, tags: Tags) -> None:
        self.find(key, version_id).tags = tags

    def put_lock(self, key: str, version_id: str | None, lock: Lock | None, *, bypass: bool) -> None:
        found = self.find(key, version_id)
        require(self.has_lock, "InvalidRequest")
        require(lock is None or lock[1] > self.now(), "InvalidArgument")
        old = found.lock
        is_free = old is None or old[1] <= self.now() or (old[0] == "GOVERNANCE" and bypass)
        if not is_free:
            assert old is not None
            require(lock is not None and lock[0] == old[0] and lock[1] >= old[1], "ObjectLocked")
        found.lock = lock

    def put_hold(self, key: str, version_id: str | None, hold: bool) -> None:
        found = self.find(key, version_id)
        require(self.has_lock, "InvalidRequest")
        found.hold = hold

    def restore(self, key: str, version_id: str | None, days: int) -> bool:
        """Whether it could be read already."""
        found, now = self.find(key, version_id), self.now()
        require(found.storage_class != "INTELLIGENT_TIERING", "ObjectAlreadyInActiveTier")
        require(found.storage_class in ARCHIVES, "InvalidObjectState")
        is_extended = not found.is_archived(now)
        begun = found.readable[0] if is_extended and found.readable is not None else now
        found.readable = begun, midnight(now + days * DAY)
        return is_extended

    # -- the bucket

    def put_versioning(self, versioning: str) -> None:
        require(not self.has_lock or versioning == "Enabled", "InvalidBucketState")
        self.versioning = versioning

    def put_default(self, default: Default | None) -> None:
        require(self.versioning == "Enabled", "InvalidBucketState")
        self.has_lock, self.default = True, default

    # -- the lifecycle

    def expiry(self, version: Version) -> tuple[int, str] | None:
        """When a current version expires, and by which rule."""
        found = [
            (when(version.time, rule.days, rule.date), at, rule.id)
            for at, rule in enumerate(self.rules)
            if rule.enabled and (rule.days is not None or rule.date is not None) and rule.is_for(version)
        ]
        return None if not found else (min(found)[0], min(found)[2])

    def run_lifecycle(self) -> None:
        """All that is due now, and what is due by that."""
        while self._pass():
            pass

    def _pass(self) -> bool:
        changed = [self._end_or_change(one) for key in sorted(self.keys) if (one := self.current(key)) is not None]
        if self.versioning is not None:
            # The oldest first: what goes makes none that stays older.
            older = [one for one in self.everything() if one.since is not None]
            changed += [self._remove_or_change(one) for one in sorted(older, key=lambda one: one.since or 0)]
            changed += [self._remove_marker(key) for key in sorted(self.keys)]
        for upload_id, upload in list(self.uploads.items()):
            for rule in self.rules:
                is_due = rule.enabled and rule.abort_days is not None and upload.key.startswith(rule.prefix)
                if is_due and when(upload.time, rule.abort_days, None) <= self.now():
                    self.uploads.pop(upload_id, None)
        return any(changed)

    def _end_or_change(self, one: Version) -> bool:
        expiry = self.expiry(one)
        is_over = expiry is not None and expiry[0] <= self.now()
        if is_over and self.versioning is None:
            self.remove(one)
            return True
        asked = [
            [kind for kind, days, date in rule.changes if when(one.time, days, date) <= self.now()]
            for rule in self._rules_for(one)
        ]
        if self._change(one, asked, self._rules_for(one)):
            return True
        if is_over:
            self.mark(one.key)
        return is_over

    def _remove_or_change(self, one: Version) -> bool:
        assert one.since is not None
        since = one.since
        newer = sum(other.since is not None for other in self.keys[one.key][: self.keys[one.key].index(one)])
        rules = [rule for rule in self._rules_for(one) if rule.is_by_key or not one.is_marker]

        def is_due(days: int, least: int | None) -> bool:
            return when(since, days, None) <= self.now() and newer >= (least or 0)

        if any(rule.older is not None and is_due(*rule.older) for rule in rules):
            if not one.is_marker and one.is_locked(self.now()):
                return False
            self.remove(one)
            return True
        asked = [[kind for kind, days, least in rule.older_changes if is_due(days, least)] for rule in rules]
        return not one.is_marker and self._change(one, asked, rules)

    def _change(self, one: Version, asked: Iterable[list[str]], rules: Sequence[Rule]) -> bool:
        wanted = []
        for kinds, rule in zip(asked, rules, strict=True):
            takes_small = rule.more_than is not None or rule.less_than is not None
            fit = [
                kind for kind in kinds
                if len(one.body) >= SMALL or takes_small or (self.varies and kind in ARCHIVES)
            ]  # fmt: skip
            if fit:
                wanted.append(max(fit, key=WATERFALL.index))
        if not wanted:
            return False
        kind = max(wanted, key=FAVOURED.index)
        if WATERFALL.index(kind) <= WATERFALL.index(one.storage_class):
            return False
        one.storage_class = kind
        return True

    def _remove_marker(self, key: str) -> bool:
        (one, *others) = self.keys[key]
        if others or not one.is_marker:
            return False
        for rule in self._rules_for(one):
            is_over = (rule.days or rule.date) and when(one.time, rule.days, rule.date) <= self.now()
            if rule.is_by_key and (rule.lone_markers or is_over):
                self.remove(one)
                return True
        return False

    def _rules_for(self, one: Version) -> list[Rule]:
        return [rule for rule in self.rules if rule.enabled and rule.is_for(one)]

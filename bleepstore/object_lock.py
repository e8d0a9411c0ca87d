"""Object lock: what protects a version from being removed, until when, and how that may be changed ("Locking objects
with Object Lock")."""

from __future__ import annotations

import calendar
import datetime as dt
import enum

import attrs

from bleepstore.errors import InvalidArgument, InvalidRequest, InvalidRetentionPeriod, ObjectLocked, S3Error

MAX_DAYS = 36_500
MAX_YEARS = 100
#: The times that a date can say: those of the years 1 to 9999.
MIN_TIME_MS = -62_135_596_800_000
MAX_TIME_MS = 253_402_300_799_999
_DAY_MS = 24 * 60 * 60 * 1000
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MILLISECOND = dt.timedelta(milliseconds=1)


class RetentionMode(enum.StrEnum):
    """GOVERNANCE may be bypassed by whom that is allowed; COMPLIANCE by nobody."""

    GOVERNANCE = "GOVERNANCE"
    COMPLIANCE = "COMPLIANCE"


@attrs.frozen
class Retention:
    """That a version cannot be removed before `until_ms`, in milliseconds since the epoch."""

    mode: RetentionMode = attrs.field(validator=attrs.validators.instance_of(RetentionMode))
    until_ms: int = attrs.field(validator=attrs.validators.instance_of(int))

    @until_ms.validator
    def _check_until(self, _field: attrs.Attribute[int], until_ms: int) -> None:
        if not MIN_TIME_MS <= until_ms <= MAX_TIME_MS:
            raise ValueError("a retention is until the year 9999 at most, and no year before 1")

    @classmethod
    def governance(cls, until: dt.datetime) -> Retention:
        """`until` has a time zone."""
        return cls(RetentionMode.GOVERNANCE, _milliseconds(until))

    @classmethod
    def compliance(cls, until: dt.datetime) -> Retention:
        """As governance."""
        return cls(RetentionMode.COMPLIANCE, _milliseconds(until))

    @property
    def until(self) -> dt.datetime:
        return _EPOCH + self.until_ms * _MILLISECOND


def _milliseconds(time: dt.datetime) -> int:
    if not isinstance(time, dt.datetime) or time.tzinfo is None:
        raise TypeError(f"until is a datetime with a time zone, not {time!r}")
    return (time - _EPOCH) // _MILLISECOND


@attrs.frozen
class DefaultRetention:
    """The retention of what is written without one of its own: so many days or years from then on."""

    mode: RetentionMode = attrs.field(validator=attrs.validators.instance_of(RetentionMode))
    days: int | None = attrs.field(default=None, kw_only=True)
    years: int | None = attrs.field(default=None, kw_only=True)

    def __attrs_post_init__(self) -> None:
        if (self.days is None) == (self.years is None):
            raise ValueError("a default retention has either days or years")
        if not isinstance(self.days if self.years is None else self.years, int):
            raise TypeError("the days or years of a default retention are a whole number")

    def from_time(self, time_ms: int) -> Retention:
        """The retention of what is written at this time."""
        if self.days is not None:
            return Retention(self.mode, min(time_ms + self.days * _DAY_MS, MAX_TIME_MS))
        assert self.years is not None
        return Retention(self.mode, _years_later(time_ms, self.years))


def _years_later(time_ms: int, years: int) -> int:
    """The same day of the calendar; for the 29 February the 1 March, where there is none."""
    time = _EPOCH + time_ms * _MILLISECOND
    year = min(time.year + years, dt.MAXYEAR)
    if (time.month, time.day) == (2, 29) and not calendar.isleap(year):
        time += dt.timedelta(days=1)
    return (time.replace(year=year) - _EPOCH) // _MILLISECOND


@attrs.frozen
class ObjectLock:
    """That the versions of a bucket can be locked. Once a bucket has it, it has it for ever."""

    default: DefaultRetention | None = None


def check_lock(lock: ObjectLock) -> None:
    """Raise InvalidRetentionPeriod for a default retention that S3 does not take."""
    default = lock.default
    if default is None:
        return
    period, most = (default.days, MAX_DAYS) if default.years is None else (default.years, MAX_YEARS)
    assert period is not None
    if period < 1:
        raise InvalidRetentionPeriod("Default retention period must be a positive integer value.")
    if period > most:
        raise InvalidRetentionPeriod("Default retention period is too large")


def no_lock() -> S3Error:
    """The refusal to lock a version of a bucket that has no object lock."""
    return InvalidRequest("Bucket is missing Object Lock Configuration")


def check_future(retention: Retention, now_ms: int) -> S3Error | None:
    """The refusal of a retention that is over."""
    if retention.until_ms > now_ms:
        return None
    return InvalidArgument("The retain until date must be in the future!", "retention", retention.until.isoformat())


def check_change(old: Retention | None, new: Retention | None, now_ms: int, *, bypasses: bool) -> S3Error | None:
    """The refusal to replace the retention of a version, or to remove it.

    "In compliance mode ... its retention mode can't be changed, and its retention period can't be shortened." In
    governance mode the same goes for who does not bypass it.
    """
    if old is None or old.until_ms <= now_ms or (old.mode is RetentionMode.GOVERNANCE and bypasses):
        return None
    if new is not None and new.mode is old.mode and new.until_ms >= old.until_ms:
        return None
    return ObjectLocked()


def is_locked(retention: Retention | None, legal_hold: bool | None, now_ms: int, *, bypasses: bool) -> bool:
    """Whether a version must not be removed. Nothing bypasses a legal hold."""
    if legal_hold:
        return True
    if retention is None or retention.until_ms <= now_ms:
        return False
    return not (bypasses and retention.mode is RetentionMode.GOVERNANCE)

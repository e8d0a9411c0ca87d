"""The rows of jobs, of the configuration, and of what the server does just now."""

from __future__ import annotations

import datetime as dt
import os
import threading
from typing import Any

import attrs

from bleepstore.jobs import JobStatus
from bleepstore_server.admin.control import LEVELS
from bleepstore_server.admin.paging import time_of
from bleepstore_server.admin.profiling import sample
from bleepstore_server.admin.rows import AdminError, Call, Done, Row, Who
from bleepstore_server.config import SETTINGS
from bleepstore_server.response import Response

MAX_PROFILE_SECONDS = 60

# -- jobs


@attrs.frozen(kw_only=True)
class ShownJob:
    name: str
    last_run: dt.datetime | None
    next_run: dt.datetime | None
    is_under_way: bool
    #: What the present or last pass has looked at, has removed or found, and could not do yet.
    examined: int
    changed: int
    left: int
    error: str | None


@attrs.frozen(kw_only=True)
class JobList:
    jobs: tuple[ShownJob, ...]
    paused_until: dt.datetime | None


@attrs.frozen(kw_only=True)
class Pause:
    """At most a day."""

    seconds: int


#: What is due later than this is not due by itself.
_FAR_MS = 50 * 365 * 24 * 3600 * 1000


def _shown(job: JobStatus, now_ms: int) -> ShownJob:
    is_due = job.next_run_ms < now_ms + _FAR_MS
    return ShownJob(
        name=job.name,
        last_run=None if job.last_run_ms is None else time_of(job.last_run_ms),
        next_run=time_of(job.next_run_ms) if job.next_run_ms and is_due else None,
        is_under_way=job.is_under_way,
        examined=job.examined,
        changed=job.changed,
        left=job.left,
        error=job.error,
    )


def _jobs(call: Call) -> JobList:
    store = call.services.store
    until_ms, now_ms = store.jobs.paused_until_ms, store.engine.clock()
    return JobList(
        jobs=tuple(_shown(job, now_ms) for job in store.jobs.status()),
        paused_until=time_of(until_ms) if until_ms else None,
    )


def _run_job(call: Call) -> Done:
    jobs, name = call.services.store.jobs, call.names["job"]
    known = [job.name for job in jobs.status()]
    if name not in known:
        raise AdminError(404, "NoSuchJob", f"There is no job {name}; there are {', '.join(known)}.")
    jobs.ask(name)
    return Done()


def _pause(call: Call) -> JobList:
    try:
        call.services.store.jobs.pause(call.body.seconds)
    except ValueError as error:
        raise AdminError(400, "BadShape", f"seconds: {error}") from None
    return _jobs(call)


def _resume(call: Call) -> JobList:
    call.services.store.jobs.pause(0)
    return _jobs(call)


# -- configuration


@attrs.frozen(kw_only=True)
class ShownSetting:
    name: str
    #: As JSON; "(set)" for a secret that is set.
    value: Any
    #: A flag, a variable of the environment, a key of the file, or "default".
    source: str
    help: str


@attrs.frozen(kw_only=True)
class Configuration:
    settings: tuple[ShownSetting, ...]


def _configuration(call: Call) -> Configuration:
    config = call.services.config
    return Configuration(
        settings=tuple(
            ShownSetting(
                name=setting.name,
                value=_hidden(getattr(config, setting.name)) if not setting.repr else getattr(config, setting.name),
                source=config.sources.get(setting.name, "default"),
                help=setting.metadata["help"],
            )
            for setting in SETTINGS
        )
    )


def _hidden(value: object) -> object:
    return "(set)" if value else value


# -- the log, and profiles


@attrs.frozen(kw_only=True)
class Level:
    """ERROR, WARNING, INFO or DEBUG, for all workers."""

    level: str


def _level(call: Call) -> Level:
    return Level(level=call.services.log_level.name)


def _set_level(call: Call) -> Level:
    if call.body.level not in LEVELS:
        raise AdminError(400, "BadShape", f"level: {call.body.level!r} is not one of {', '.join(LEVELS)}.")
    call.services.log_level.set(call.body.level)
    return _level(call)


@attrs.frozen(kw_only=True)
class ProfileTime:
    """At most a minute."""

    seconds: int = 30


_profiling = threading.Lock()


def _profile(call: Call) -> Response:
    seconds = call.body.seconds
    if not 1 <= seconds <= MAX_PROFILE_SECONDS:
        raise AdminError(400, "BadShape", f"seconds is 1 to {MAX_PROFILE_SECONDS}.")
    if not _profiling.acquire(blocking=False):
        raise AdminError(409, "ProfileUnderWay", "This worker makes a profile already: wait for that one.")
    try:
        text = sample(seconds)
    finally:
        _profiling.release()
    headers = [("Content-Type", "text/plain; charset=utf-8"), ("X-Process-Id", str(os.getpid()))]
    return Response(200, headers, text.encode())


def _row(method: str, path: str, summary: str, handler: Any, **shapes: Any) -> Row:
    return Row(method=method, path=f"/admin/v1/{path}", who=Who.ADMIN, summary=summary, handler=handler, **shapes)


ROWS = (
    _row("GET", "jobs", "What the store does by itself: what of it is done and due", _jobs, answer=JobList),
    _row("POST", "jobs/{job}/run", "Have a job run from its beginning, within seconds; scrub reads everything",
         _run_job, answer=Done, status=202),
    _row("PUT", "jobs/pause", "Have no job run by itself for a while", _pause, body=Pause, answer=JobList),
    _row("DELETE", "jobs/pause", "End the pause", _resume, answer=JobList),
    _row("GET", "configuration", "All settings and where each comes from; secrets are hidden", _configuration,
         answer=Configuration),
    _row("GET", "log-level", "How much is logged", _level, answer=Level),
    _row("PUT", "log-level", "Log more or less, in all workers, until the server ends", _set_level, body=Level,
         answer=Level),
    _row("POST", "profile", "What the threads of one worker do, for flame graphs", _profile, body=ProfileTime,
         media_type="text/plain"),
)  # fmt: skip

"""The pytest plugin: a store, a client, a bucket, a server, faults and a clock as fixtures.

It is loaded in every run of pytest where BleepStore is installed, so it imports nothing until a fixture is used.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import logging
import secrets
import sys
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from bleepstore import Store
    from bleepstore.testing.clock import Clock
    from bleepstore.testing.events import CollectedEvents
    from bleepstore_server.faults import Faults
    from bleepstore_server.live import LiveServer

_SCOPES = ("function", "class", "module", "package", "session")
_BACKENDS = ("memory", "local")
_ACL_DEFAULTS = ("s3", "legacy")
#: A failing test shows at most so many buckets, and so many keys of each.
_SHOWN_BUCKETS = 50
_SHOWN_KEYS = 20
#: The `s3_store` that is open, and what was in the last one when it was closed. All have one scope, so there is one.
_STORE = pytest.StashKey["Store"]()
_LEFT = pytest.StashKey[str]()
#: Why requests to it were denied.
_DENIED = pytest.StashKey[list[str]]()
_SHOWN_DENIALS = 20


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("bleepstore", "S3 fixtures (BleepStore)")
    group.addoption(
        "--bleepstore-scope",
        choices=_SCOPES,
        help="how long the fixtures s3_store, s3_client, s3_server, s3_faults and s3_clock live (default: function)",
    )
    group.addoption("--bleepstore-backend", choices=_BACKENDS, help="where s3_store keeps its bytes (default: memory)")
    parser.addini("bleepstore_scope", "default of --bleepstore-scope", default="function")
    parser.addini("bleepstore_backend", "default of --bleepstore-backend", default="memory")
    parser.addini("bleepstore_random_seed", "a number: ids and times of s3_store are the same in each run", default="")
    parser.addini("bleepstore_acl_defaults", "acl_defaults of s3_store: s3, or legacy for code with ACLs", default="s3")
    parser.addini(
        "bleepstore_accept_any_key",
        "s3_in_process and s3_client: accept whatever access key the clients of the code under test have",
        type="bool",
        default=False,
    )


def pytest_configure(config: pytest.Config) -> None:
    """Refuse a wrong setting once, before a test asks for it."""
    _setting(config, "bleepstore_scope", _SCOPES)
    _setting(config, "bleepstore_backend", _BACKENDS)
    _setting(config, "bleepstore_acl_defaults", _ACL_DEFAULTS)
    if _random_seed(config) is not None and _setting(config, "bleepstore_backend", _BACKENDS) != "memory":
        raise pytest.UsageError("bleepstore_random_seed: it is for the backend memory alone")


def _random_seed(config: pytest.Config) -> int | None:
    text = str(config.getini("bleepstore_random_seed"))
    if text and not (text.isascii() and text.isdigit()):
        raise pytest.UsageError(f"bleepstore_random_seed: {text!r} is no number")
    return int(text) if text else None


def _setting(config: pytest.Config, name: str, allowed: tuple[str, ...]) -> str:
    value = str(config.getoption(name, None) or config.getini(name))
    if value not in allowed:
        raise pytest.UsageError(f"{name}: {value!r} is not one of {', '.join(allowed)}")
    return value


def _scope(fixture_name: str, config: pytest.Config) -> Any:
    return _setting(config, "bleepstore_scope", _SCOPES)


@pytest.fixture(scope=_scope)
def s3_clock(request: pytest.FixtureRequest) -> Clock:
    """The clock of `s3_store`: it runs with the system's until a test moves it, `s3_clock.advance(hours=2)`. With the
    ini option `bleepstore_random_seed` it stands at the beginning of 2025, and goes on with each change."""
    from bleepstore.testing.clock import Clock

    if _random_seed(request.config) is None:
        return Clock()
    return Clock(dt.datetime(2025, 1, 1, tzinfo=dt.UTC))


@pytest.fixture(scope="session")
def s3_seed() -> Store | None:
    """Override this to return a store that was filled once: each `s3_store` is then a fork of it."""
    return None


@pytest.fixture(scope=_scope)
def s3_store(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, s3_seed: Store | None, s3_clock: Clock
) -> Iterator[Store]:
    """An object store of the test's own, empty or a fork of `s3_seed`: a `bleepstore.Store`.

    It is in memory; with `--bleepstore-backend=local` it is in a temporary folder.
    """
    import bleepstore

    path = None
    if _setting(request.config, "bleepstore_backend", _BACKENDS) == "local":
        path = tmp_path_factory.mktemp("s3") / "store"
    seed = _random_seed(request.config)
    if s3_seed is None:
        defaults = str(request.config.getini("bleepstore_acl_defaults"))
        opened = bleepstore.open(path, clock=s3_clock, acl_defaults=defaults, random_seed=seed)
    elif seed is not None and s3_seed.random_seed is None:
        raise pytest.UsageError(f"bleepstore_random_seed: s3_seed has to be opened with random_seed={seed}, too")
    else:
        opened = s3_seed.fork(path, clock=s3_clock)
    stash = request.config.stash
    stash[_DENIED] = []
    with opened as store, _listening(stash[_DENIED]):
        stash[_STORE] = store
        yield store
        del stash[_STORE]
        stash[_LEFT] = describe(store)  # for whatever fails after this, in the same teardown
        if "bleepstore.filesystem" in sys.modules:  # fsspec remembers those of this store
            sys.modules["bleepstore.filesystem"].BleepStoreFileSystem.clear_instance_cache()


@contextlib.contextmanager
def _listening(found: list[str]) -> Iterator[None]:
    """Collect why requests are denied. (A store's requests come from any thread, and denials are rare.)"""

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if len(found) < _SHOWN_DENIALS:
                found.append(record.getMessage())

    logger, handler = logging.getLogger("bleepstore.denied"), Collector(logging.DEBUG)
    level, propagate = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate


@pytest.fixture(scope=_scope)
def s3_faults() -> Faults:
    """Faults to inject between `s3_client` or `s3_server` and the store; none until a test asks for them."""
    from bleepstore_server.faults import Faults

    return Faults()


@pytest.fixture(scope=_scope)
def s3_in_process(request: pytest.FixtureRequest, s3_store: Store, s3_faults: Faults) -> Iterator[Store]:
    """`s3_store`, reached by every boto3 client that the test or the code under test makes; no socket, no network.

    The environment has an access key for it, so that `boto3.client("s3")` just works; with the ini option
    `bleepstore_accept_any_key` any other key does too. Presigned URLs reach it by requests, urllib3, urllib and httpx.
    """
    from bleepstore_server.blocks import in_process

    any_key = bool(request.config.getini("bleepstore_accept_any_key"))
    with in_process(s3_store, faults=s3_faults, accept_any_key=any_key) as store:
        yield store


@pytest.fixture(scope=_scope)
def s3_client(s3_in_process: Store, s3_faults: Faults) -> Iterator[S3Client]:
    """A boto3 S3 client of `s3_store`, without a socket; other boto3 clients reach the same store meanwhile."""
    from bleepstore_server.clients import client_for

    client = client_for(s3_in_process, faults=s3_faults)
    yield client
    client.close()


@pytest.fixture
def s3_events(s3_store: Store) -> Iterator[CollectedEvents]:
    """What happens to the objects of `s3_store` during the test: a sequence of `bleepstore.Event`, in their order.

    Its `names` are (event, key), its `records` those of S3's messages, and `wait(n)` waits until there are n.
    """
    from bleepstore.testing.events import CollectedEvents

    with CollectedEvents(s3_store) as events:
        yield events


@pytest.fixture
def s3_bucket(s3_store: Store) -> str:
    """The name of a new, empty bucket of `s3_store`."""
    from bleepstore.errors import BucketAlreadyOwnedByYou

    number = 1
    while True:
        name = "test-bucket" if number == 1 else f"test-bucket-{number}"
        try:
            s3_store.create_bucket(name)
        except BucketAlreadyOwnedByYou:
            number += 1
        else:
            return name


@pytest.fixture
def s3_user(
    s3_in_process: Store, s3_faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str | Mapping[str, Any]], S3Client]]:
    """`s3_user(policy)` is a boto3 client of a new user, who may do what this policy allows: a document of IAM, as a
    dict or as JSON.

    From then on the environment has the access key of this user, so that clients that the code under test makes act
    for it; `s3_client` and `s3_store` go on to do what they want.
    """
    from bleepstore_server.clients import client_for

    clients: list[S3Client] = []

    def user(policy: str | Mapping[str, Any]) -> S3Client:
        name = f"test-user-{secrets.token_hex(4)}"
        access_key, secret_key = f"USER{secrets.token_hex(8).upper()}", secrets.token_urlsafe(30)
        s3_in_process.users.add(name)
        document = policy if isinstance(policy, str) else json.dumps(policy)
        s3_in_process.users.put_policy(name, "policy", document)
        s3_in_process.put_credential(access_key, secret_key, user=name)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", access_key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret_key)
        monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
        clients.append(client_for(s3_in_process, access_key=access_key, secret_key=secret_key, faults=s3_faults))
        return clients[-1]

    yield user
    for client in clients:
        client.close()


@pytest.fixture(scope=_scope)
def s3_server(s3_store: Store, s3_faults: Faults) -> Iterator[LiveServer]:
    """A server over HTTP for `s3_store`, on a free port of 127.0.0.1, that accepts requests.

    It has `url`, `access_key` and `secret_key`, which are also in the environment variables that AWS SDKs read, in
    this process and in those it starts. The file systems of s3fs that fsspec remembers are forgotten at both ends.
    """
    from bleepstore_server.live import live_server

    with pytest.MonkeyPatch.context() as patch, live_server(s3_store, faults=s3_faults) as server:
        for name in ("AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN", "AWS_PROFILE"):
            patch.delenv(name, raising=False)
        for name, value in server.environ.items():
            patch.setenv(name, value)
        yield server


# -- what a failing test shows


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add what is in the store to the report of a test that failed, also in its set-up and teardown."""
    report = yield
    if report.failed and "s3_store" in getattr(item, "fixturenames", ()):
        # A fixture that another one asked for is not among the test's arguments until all are set up.
        store = item.config.stash.get(_STORE, None) or getattr(item, "funcargs", {}).get("s3_store")
        left = item.config.stash.get(_LEFT, None)
        if left is not None and report.when == "teardown" and _STORE not in item.config.stash:
            report.sections.append(("What was in s3_store", left))
        elif store is not None:
            report.sections.append(("What is in s3_store", describe(store)))
        if denied := item.config.stash.get(_DENIED, None):
            report.sections.append(("What s3_store denied", "\n".join(denied)))
    if report.when == "teardown":  # a store of more than one test
        item.config.stash.get(_DENIED, []).clear()
    return report


def describe(store: Store) -> str:
    """The buckets of a store and their first keys, for people; why not, if it cannot be read."""
    from bleepstore.errors import BleepStoreError

    try:
        return _describe(store)
    except (BleepStoreError, OSError) as error:
        return f"it cannot be read: {error}"


def _describe(store: Store) -> str:
    lines = []
    found = store.list_buckets(limit=_SHOWN_BUCKETS)
    for bucket in found.buckets:
        page = store.list_objects(bucket.name, limit=_SHOWN_KEYS)
        lines.append(f"{bucket.name}/" + ("" if page.objects else "    (empty)"))
        lines += [f"    {item.key!r}  {item.size} bytes  etag {item.etag}" for item in page.objects]
        if page.next_key is not None:
            lines.append("    ...")
        uploads = store.list_uploads(bucket.name, limit=_SHOWN_KEYS).uploads
        lines += [f"    {upload.key!r}  multipart upload under way" for upload in uploads]
    if found.next_name is not None:
        lines.append("...")
    return "\n".join(lines) or "no buckets"

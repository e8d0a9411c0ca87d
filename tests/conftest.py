"""Fixtures that all tests share."""

from __future__ import annotations

import contextlib
import functools
import gc
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

import bleepstore
from tests.clients import install
from tests.cluster_store import open_on_follower

#: Where folders of tests need no disk: they wait for no fsync there. Tests of crashes kill processes, not the machine.
_IN_MEMORY = Path("/dev/shm")
#: What the tests may fill, with that of the two runs before.
_SPACE = 8 << 30

if os.access(_IN_MEMORY, os.W_OK) and shutil.disk_usage(_IN_MEMORY).free > _SPACE:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", os.fspath(_IN_MEMORY))

# Hundreds of processes start in these tests. What they compile is kept beside the code, also where that was not wanted:
# in another folder they would not find what pip compiled, and compile a few thousand modules of it again.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# What is imported and collected here stays, some million objects. The collector does not look at them again and again.
gc.disable()


def pytest_collection_finish() -> None:
    """From here on the collector looks at what tests make."""
    gc.freeze()
    gc.enable()


# The contract suites are tests that ship in the package.
pytest.register_assert_rewrite("bleepstore.testing")

#: A follower of three nodes of this process: see tests/cluster_store.py.
CLUSTER = "cluster"
#: Where a tested store may be.
STORES = (
    "memory",
    "local",
    CLUSTER,
    *(f"{kind}-{layout}" for kind in ("aws", "azure", "gcs") for layout in ("keys", "blobs")),
)
#: What runs everywhere; the others in CI, or if `--store` says so.
LOCAL = ("memory", "local")
#: Each provider once, and each layout: the contract suites in tests/backends run before all of them in both.
PROVIDERS = ("aws-keys", "azure-blobs", "gcs-keys")
#: The folders whose tests `--store` runs elsewhere than here.
S3_SUITE = frozenset({"server", "store", "library"})


def kinds_of(definition: pytest.Item, in_ci: bool) -> Sequence[str]:
    """Where a test runs, if no option says so: in memory, and where its mark `stores` says that it might differ."""
    mark = definition.get_closest_marker("stores")
    named = ("memory", *(mark.args if mark is not None else ()))
    kinds = [kind for name in named for kind in (PROVIDERS if name == "providers" else (name,))]
    assert set(kinds) <= set(STORES), f"{definition.nodeid}: pytest.mark.stores takes {', '.join(STORES)} and providers"
    return kinds if in_ci else [kind for kind in kinds if kind in LOCAL]


#: The folders most of whose tests need programs that CI installs first.
_NEED_PROGRAMS = frozenset({"backends", "clients", "deploy", "senders"})
_installing = pytest.StashKey[subprocess.Popen[bytes]]()


def pytest_sessionstart(session: pytest.Session) -> None:
    """In CI, install what the tests need while those run that need none of it. Only for a run of all tests, and once
    for all processes of pytest-xdist."""
    config = session.config
    is_whole = config.args_source is pytest.Config.ArgsSource.TESTPATHS and not config.option.collectonly
    if "CI" in os.environ and is_whole and not hasattr(config, "workerinput"):
        config.stash[_installing] = install.start_all()


def pytest_sessionfinish(session: pytest.Session) -> None:
    if (process := session.config.stash.get(_installing, None)) is not None:
        process.terminate()
        process.wait()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """In CI those that need programs are last."""
    if "CI" in os.environ:
        items.sort(key=needs_programs)


def needs_programs(item: pytest.Item) -> bool:
    folder = item.path.relative_to(Path(__file__).parent).parts[0]
    drawn = getattr(item, "callspec", None)
    kind = "memory" if drawn is None else drawn.params.get("store_kind", "memory")
    return folder in _NEED_PROGRAMS or kind not in (*LOCAL, CLUSTER)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--store",
        action="append",
        choices=STORES,
        help="run all tests of the store and the server on this backend; may be repeated (default: in memory, and in a "
        "folder what is marked so)",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "store_kind" in metafunc.fixturenames:
        folder = metafunc.definition.path.relative_to(Path(__file__).parent).parts[0]
        wanted = metafunc.config.getoption("store") or kinds_of(metafunc.definition, "CI" in os.environ)
        kinds = [kind for kind in wanted if kind in LOCAL or folder in S3_SUITE]
        metafunc.parametrize("store_kind", kinds, scope="session")


#: What an emulator does otherwise than the provider documents.
EMULATORS_LACK = {
    (
        "gcs-keys",
        "test_of_many_uploads_that_want_a_new_key_exactly_one_is_completed",
    ): "fake-gcs-server composes whatever ifGenerationMatch says",
}


@pytest.fixture(scope="session")
def far_end_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Callable[[], tuple[str, str]]]]:
    """By the kind of a provider: what gives (URL, endpoint) of a new empty container there."""
    from tests.backends import providers

    with contextlib.ExitStack() as stack:

        @functools.cache
        def start(kind: str) -> Callable[[], tuple[str, str]]:
            return stack.enter_context(providers.PROVIDERS[kind](tmp_path_factory.mktemp(kind)))

        yield start


def acl_defaults_of(request: pytest.FixtureRequest) -> str:
    """What the stores of a test are opened with: tests that need access control lists are marked."""
    return "s3" if request.node.get_closest_marker("legacy_acls") is None else "legacy"


@pytest.fixture
def store(store_kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[bleepstore.Store]:
    """An empty store, of each kind."""
    defaults = acl_defaults_of(request)
    if store_kind.endswith("-keys") and request.node.get_closest_marker("blobs") is not None:
        pytest.skip("one object is stored under each key")
    if store_kind in ("memory", "local"):
        path = None if store_kind == "memory" else tmp_path / "store"
        with bleepstore.open(path, acl_defaults=defaults) as opened:
            yield opened
        return
    if store_kind == CLUSTER:
        with open_on_follower(acl_defaults=defaults) as opened:
            yield opened
        return
    kind, _, layout = store_kind.partition("-")
    if (reason := EMULATORS_LACK.get((store_kind, request.node.originalname))) is not None:
        pytest.skip(reason)
    url, endpoint = request.getfixturevalue("far_end_of")(kind)()
    options = {"catalog": tmp_path / "store", "layout": layout, "endpoint_url": endpoint}
    with bleepstore.open(url, acl_defaults=defaults, **options) as opened:
        yield opened


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests measured: `record_property("figure", text)`; with pytest-xdist their own prints are lost."""
    reports = terminalreporter.getreports("passed") + terminalreporter.getreports("failed")
    figures = [value for report in reports for name, value in report.user_properties if name == "figure"]
    if figures:
        terminalreporter.section("figures")
        for figure in figures:
            terminalreporter.write_line(str(figure))
